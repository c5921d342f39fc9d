//! What is in force, as a reload compares it and as `check --dump` prints it.

use crate::config::fixture::Machine;
use crate::config::{Effective, Loaded, load_with};
use std::path::Path;
use std::sync::Arc;

const FILE: &str = r#"
listeners: [{ bind: ":8080" }]
trusted_proxies: 10.0.0.0/8
upstreams:
  app: { servers: ["app1:8080", { address: "app2:8080" }], health: { fall: 5 } }
routes:
  - { match: { path: /old/ }, redirect: "https://www.example.com{uri}" }
  - { upstream: app, cache: ../cache-rules/site.yaml }
admin: { token: s3cret }
"#;

const RULES: &str = "
rules:
  - name: assets
    when: { path: /assets/ }
    then: { ttl: { edge: 30d } }
";

fn load(file: &str) -> Loaded {
    let machine = Machine::default()
        .file("conf/foreland.yaml", file)
        .file("cache-rules/site.yaml", RULES)
        .file("conf/token", "of-a-file\n")
        .file("conf/page.html", "<h1>ä</h1>")
        .set("TOKEN", "of-the-environment");
    load_with(Path::new("conf/foreland.yaml"), Arc::new(machine)).unwrap().1
}

fn values(loaded: &Loaded, subject: &str) -> Vec<String> {
    let of_subject = loaded.effective.iter().filter(|effective| effective.subject == subject);
    of_subject.map(|Effective { key, value, .. }| format!("{key} {value}")).collect()
}

#[test]
fn every_value_in_force_has_its_subject() {
    let loaded = load(FILE);
    assert_eq!(
        values(&loaded, "listener :8080"),
        ["bind :8080", "front true", "proxy_protocol false", "redirect_https false"]
    );
    assert_eq!(values(&loaded, "trusted_proxies"), ["networks 10.0.0.0/8"]);
    assert_eq!(
        values(&loaded, "upstream app")[..3],
        ["servers app1:8080", "servers app2:8080", "balance round_robin"]
    );
    assert!(values(&loaded, "upstream app").contains(&"health.fall 5".to_owned()));
    assert_eq!(
        values(&loaded, "route route 1"),
        ["match.path /old/", "redirect https://www.example.com{uri}", "compress true"]
    );
    assert_eq!(
        values(&loaded, "route app"),
        ["upstream app", "cache ../cache-rules/site.yaml", "compress true"]
    );
    assert!(
        values(&loaded, "rule assets").contains(&"ttl.edge 30d".to_owned()),
        "{:?}",
        values(&loaded, "rule assets")
    );
    assert_eq!(values(&loaded, "rules cache-rules/site.yaml"), ["order assets"]);
    assert!(values(&loaded, "limits").contains(&"drain 30s".to_owned()));
    assert_eq!(values(&loaded, "admin"), ["bind 127.0.0.1:9900", "token …"]);
    assert_eq!(loaded.summary, "conf/foreland.yaml: 1 listener, 1 upstream (2 servers), 2 routes, 1 rule");
}

#[test]
fn a_token_is_never_shown_however_it_is_written() {
    for (written, shown) in
        [("s3cret", "…"), ("\"${TOKEN}\"", "${TOKEN}"), ("\"${file:token}\"", "${file:token}")]
    {
        let loaded = load(&FILE.replace("s3cret", written));
        let dump = loaded.dump();
        assert!(
            values(&loaded, "admin").contains(&format!("token {shown}")),
            "{:?}",
            values(&loaded, "admin")
        );
        for secret in ["s3cret", "of-a-file", "of-the-environment"] {
            assert!(!dump.contains(secret), "{dump}");
        }
    }
}

#[test]
fn every_file_that_was_read_is_watched() {
    let answer = ("redirect: \"https://www.example.com{uri}\"", "respond: { file: page.html }");
    let file = FILE.replace("s3cret", "\"${file:token}\"").replace(answer.0, answer.1);
    let loaded = load(&file);
    let names: Vec<String> = loaded.files.iter().map(|path| path.display().to_string()).collect();
    for name in ["conf/foreland.yaml", "conf/../cache-rules/site.yaml", "conf/token", "conf/page.html"] {
        assert!(names.contains(&name.to_owned()), "{name}: {names:?}");
    }
}

#[test]
fn what_may_come_is_watched() {
    let file = format!("include: [conf.d/*.yaml, sites/*/site.yaml, '*.yml']\n{FILE}");
    let machine = Machine::default().file("conf/foreland.yaml", file).file("cache-rules/site.yaml", RULES);
    let (_, loaded) = load_with(Path::new("conf/foreland.yaml"), Arc::new(machine)).unwrap();
    for folder in ["conf/conf.d", "conf/sites", "conf"] {
        assert!(loaded.files.contains(&folder.into()), "{folder}: {:?}", loaded.files);
    }
    let top = Machine::default().file("a.yaml", "include: '*.yml'\n");
    let files = load_with(Path::new("a.yaml"), Arc::new(top)).err().unwrap().files();
    assert_eq!(files, ["a.yaml", "."].map(Path::new));
}

#[test]
fn what_would_mend_a_refused_configuration_is_watched() {
    let answer = ("redirect: \"https://www.example.com{uri}\"", "respond: { file: page.html }");
    let file = FILE.replace("s3cret", "\"${file:token}\"").replace(answer.0, answer.1);
    let file = format!("include: [gone.yaml, conf.d/*.yaml]\n{file}");
    let machine = Machine::default().file("conf/foreland.yaml", file);
    let refused = load_with(Path::new("conf/foreland.yaml"), Arc::new(machine)).err().unwrap();
    let mut files: Vec<String> = refused.files().iter().map(|path| path.display().to_string()).collect();
    files.sort();
    let expected = [
        "conf/../cache-rules/site.yaml",
        "conf/conf.d",
        "conf/foreland.yaml",
        "conf/gone.yaml",
        "conf/page.html",
        "conf/token",
    ];
    assert_eq!(files, expected);
    let nothing = load_with(Path::new("gone.yaml"), Arc::new(Machine::default())).err().unwrap();
    assert_eq!(nothing.files(), [Path::new("gone.yaml")]);
}

#[test]
fn what_is_dumped_means_the_same_again() {
    let loaded = load(&FILE.replace("s3cret", "\"${TOKEN}\""));
    let again = load(&loaded.dump());
    assert_eq!(again.effective, loaded.effective, "{}", loaded.dump());
    assert!(loaded.dump().contains("memory: 512MiB # default"), "{}", loaded.dump());
}

const FOLDER: &str = r#"
listeners: [{ bind: ":8080" }]
upstreams: { app: { servers: app } }
routes:
  - { match: { path: /short/ }, files: public }
  - { match: { path: /long/ }, files: { root: public, index: [], expires: { "text/*": no-cache, "*": 1h }, types: { md: text/x } } }
  - { upstream: app, compress: false }
compress: { codings: [gzip, br], types: [text/*], levels: { br: 6 } }
"#;

fn served(file: &str) -> Loaded {
    let machine = Machine::default().file("conf/foreland.yaml", file).file("conf/public/index.html", "");
    load_with(Path::new("conf/foreland.yaml"), Arc::new(machine)).unwrap().1
}

#[test]
fn a_folder_has_all_its_keys_however_it_is_written() {
    let loaded = served(FOLDER);
    assert_eq!(
        values(&loaded, "route route 1")[1..],
        [
            "files.root public",
            "files.index index.html",
            "files.listing false",
            "files.symlinks within",
            "files.hidden false",
            "files.precompressed true",
            "files.default_type application/octet-stream",
            "files.memory 1MiB",
            "compress true",
        ]
    );
    let long = values(&loaded, "route route 2");
    for value in ["files.expires text/* no-cache", "files.expires * 1h", "files.types.md text/x"] {
        assert!(long.contains(&value.to_owned()), "{value} is not in {long:?}");
    }
    assert_eq!(values(&loaded, "route app")[1..], ["compress false"]);
    let again = served(&loaded.dump());
    assert_eq!(again.effective, loaded.effective, "{}", loaded.dump());
}

#[test]
fn compression_is_in_force_with_its_codings_in_order() {
    let expected = [
        "codings gzip, br",
        "types text/*",
        "min_size 1KiB",
        "levels.br 6",
        "levels.zstd 3",
        "levels.gzip 5",
        "stored_levels.br 6",
        "stored_levels.zstd 12",
        "stored_levels.gzip 9",
        "cpu_percent 50",
    ];
    assert_eq!(values(&served(FOLDER), "compress"), expected);
    let off = served(&FOLDER.replace("{ codings: [gzip, br], types: [text/*], levels: { br: 6 } }", "off"));
    assert_eq!(values(&off, "compress")[..2], ["codings off", "min_size 1KiB"]);
    assert_eq!(served(&off.dump()).effective, off.effective);
}
