//! What came from `${file:…}` is told nowhere, whatever is done with it.

use crate::config::fixture::Machine;
use crate::config::load_with;
use std::path::Path;
use std::sync::Arc;

const SECRET: &str = "Tr0ub4dor-and-3";

/// Everything that is told of a configuration, in which `SECRET` stands for the file.
fn told(file: &str) -> (bool, String) {
    let machine = Machine::default()
        .file("conf/foreland.yaml", file.replace("SECRET", "\"${file:secret}\""))
        .file(
            "conf/rules.yaml",
            "rules: [{ name: \"${file:secret}\", then: { tags: \"${file:secret}\", ttl: 1m } }]",
        )
        .file(
            "conf/wrong.yaml",
            "rules: [{ name: a, when: { path: \"${file:secret}\" }, then: { tags: \"a ${file:secret}\" } }]",
        )
        .file("conf/secret", format!("{SECRET}\n"))
        .file(&format!("conf/{SECRET}"), "upstreams: { other: { servers: \"app1:8080\" } }\nwrong: 1\n");
    match load_with(Path::new("conf/foreland.yaml"), Arc::new(machine)) {
        Ok((_, loaded)) => {
            let rest =
                (loaded.text(true), &loaded.warnings, &loaded.summary, &loaded.effective, loaded.dump());
            (true, format!("{}\n{rest:?}", loaded.json()))
        }
        Err(refused) => (false, format!("{refused:?}{}\n{:?}", refused.json(), refused.lines())),
    }
}

const FINE: &str = "
listeners: [{ bind: ':8080' }]
upstreams: { Tr0ub4dor-and-3: { servers: 'app1:8080' }, app: { servers: ['app2:8080'] } }
routes: [{ upstream: app }]
";

#[test]
fn a_mistake_in_a_secret_does_not_tell_it() {
    let rows = [
        ("[{ upstream: app }]", "[{ upstream: SECRET, name: x }, { upstream: SECRET, cache: SECRET }]"),
        ("[{ upstream: app }]", "[{ upstream: app, cache: SECRET }]"),
        ("[{ upstream: app }]", "[{ upstream: app, cache: wrong.yaml }]"),
        ("[{ upstream: app }]", "[{ upstream: app, name: SECRET }, { upstream: app, name: SECRET }]"),
        ("[{ upstream: app }]", "[{ upstream: app, match: { path: SECRET, host: SECRET, method: SECRET } }]"),
        ("[{ upstream: app }]", "[{ upstream: app, match: { client: SECRET, header: { a: SECRET } } }]"),
        ("[{ upstream: app }]", "[{ redirect: SECRET }, { respond: { file: SECRET, status: SECRET } }]"),
        ("[{ upstream: app }]", "[{ files: SECRET }, { upstream: app, compress: SECRET }]"),
        (
            "[{ upstream: app }]",
            "[{ files: { root: SECRET, index: 'a/${file:secret}', types: { a: SECRET }, default_type: SECRET } }]",
        ),
        (
            "[{ upstream: app }]",
            "[{ files: { root: x, fallback: SECRET, not_found: '/.${file:secret}', expires: SECRET, symlinks: SECRET } }]",
        ),
        ("routes", "compress: SECRET\nroutes"),
        (
            "routes",
            "compress: { codings: SECRET, types: SECRET, min_size: SECRET, levels: { br: SECRET } }\nroutes",
        ),
        ("[{ upstream: app }]", "[{ upstream: app, rewrite: { strip: SECRET } }]"),
        ("[{ upstream: app }]", "[{ upstream: app, rewrite: { regex: { match: SECRET, with: SECRET } } }]"),
        ("[{ upstream: app }]", "[{ upstream: app, response_headers: { remove: SECRET } }]"),
        ("listeners", "include: SECRET\nlisteners"),
        ("listeners", "include: ['x/${file:secret}', '${file:secret}/*.yaml']\nlisteners"),
        ("':8080'", "SECRET"),
        (
            "'app1:8080'",
            "['https://${file:secret}/x', 'https://u:${file:secret}@x', SECRET, '${file:secret}:x']",
        ),
        ("'app1:8080'", "SECRET, connect: SECRET, tries: SECRET, health: { path: SECRET, fall: SECRET }"),
        (
            "'app1:8080'",
            "a, health: { path: SECRET, host: SECRET, method: SECRET, status: SECRET, port: SECRET, body: SECRET }, \
             eject: { failures: SECRET, for: SECRET }",
        ),
        ("routes", "cache: { memory: SECRET }\nlog: { access: { format: SECRET } }\nroutes"),
        ("routes", "cache: SECRET\nlog: SECRET\nlimits: SECRET\nadmin: SECRET\nroutes"),
        ("routes", "admin: { bind: SECRET, token: '${file:secret} ä' }\nroutes"),
        ("routes", "trusted_proxies: SECRET\nupstraems: SECRET\nroutes"),
    ];
    for (part, instead) in rows {
        let (_, told) = told(
            &FINE.replace("Tr0ub4dor-and-3", "SECRET").replacen(part, instead, 1).replace("SECRET:", "x:"),
        );
        assert!(!told.to_lowercase().contains("tr0ub4d"), "{instead}: {told}");
    }
}

#[test]
fn what_is_in_force_does_not_tell_it() {
    let rows = [
        ("[{ upstream: app }]", "[{ upstream: app, name: SECRET }]"),
        ("[{ upstream: app }]", "[{ upstream: app, cache: rules.yaml }]"),
        ("[{ upstream: app }]", "[{ upstream: app, match: { host: SECRET } }]"),
        ("[{ upstream: app }]", "[{ upstream: app, response_headers: { set: { X-A: SECRET } } }]"),
        ("'app1:8080'", "SECRET"),
        ("'app1:8080'", "a, health: { path: '/x?${file:secret}', body: SECRET }"),
        ("routes", "admin: { token: SECRET }\nlog: { access: { to: SECRET } }\nroutes"),
    ];
    for (part, instead) in rows {
        let (fine, told) = told(&FINE.replace("Tr0ub4dor-and-3", "x").replacen(part, instead, 1));
        assert!(fine, "{instead}: {told}");
        assert!(!told.to_lowercase().contains("tr0ub4d"), "{instead}: {told}");
    }
}

#[test]
fn a_message_without_the_secret_still_says_what_is_wrong() {
    let (_, told) = told(
        &FINE.replace("upstream: app", "upstream: SECRET, cache: SECRET").replace("Tr0ub4dor-and-3", "x"),
    );
    assert!(told.contains("error: route 1 points at upstream `…`, which is not defined\n"), "{told}");
    assert!(told.contains("--> conf/…:2:1\n"), "{told}");
}
