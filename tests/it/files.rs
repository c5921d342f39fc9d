//! Files: which one answers, under which head, how much of it, and what is noticed of changes on the disk.

use crate::dsl::*;
use foreland::files::{Lifetime, Settings, Symlinks};
use foreland::route::{Edits, Rewrite};
use foreland::setup::{Action, Route, Setup};
use std::sync::Arc;
use std::time::Duration;

/// 6 November 1994.
const WRITTEN: u64 = 784_111_777;
const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const MIB: usize = 1 << 20;

/// An edge before a folder `www`, with other settings than the defaults.
async fn edge(mode: Mode, files: &Files, change: impl FnOnce(&mut Settings)) -> Edge {
    edge_with(mode, files, change, |_, _| {}).await
}

async fn edge_with(
    mode: Mode,
    files: &Files,
    change: impl FnOnce(&mut Settings),
    route: impl FnOnce(&mut Setup, &mut Route),
) -> Edge {
    let mut settings = Settings::of(files.path("www"));
    change(&mut settings);
    Edge::with(mode, &[], |setup| {
        let mut files = Route {
            name: "files".into(),
            action: Action::Files(settings),
            compress: false,
            ..Route::nowhere()
        };
        route(setup, &mut files);
        setup.upstreams.clear();
        setup.routes = vec![Arc::new(files)];
    })
    .await
}

/// A folder with one file of ten digits, written long ago.
fn digits() -> Files {
    let files = Files::new();
    files.put("www/a.txt", "0123456789");
    files.date("www/a.txt", WRITTEN);
    files
}

/// Asks until an answer is as it should be, which takes as long as a file is not looked at again.
async fn becomes(edge: &Edge, path: &str, good: impl Fn(&Answer) -> bool) {
    let asked = async {
        while !good(&edge.get(path).await) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon(asked, "a change to be noticed").await;
}

/// Kept in memory, and read for every answer.
fn kept_or_not() -> [fn(&mut Settings); 2] {
    [|_| {}, |settings| settings.keep = 0]
}

in_every_mode! {
    and_over_tls;

    async fn a_file_comes_with_what_is_known_of_it(mode) {
        let files = digits();
        files.put("www/css/style.css", "a{}");
        files.date("www/css/style.css", WRITTEN);
        files.put("www/unknown.xyzzy", "?");
        for keep in kept_or_not() {
            let edge = edge(mode, &files, |settings| {
                keep(settings);
                settings.expires =
                    vec![("text/css".into(), Lifetime::Seconds(60)), ("text/*".into(), Lifetime::NoCache)];
            })
            .await;
            for _ in 0..2 {
                let answer = edge.get("/css/style.css").await;
                answer.assert_status(200).assert_body("a{}").assert_field("content-length", "3");
                answer.assert_field("content-type", "text/css; charset=utf-8").assert_field("last-modified", MODIFIED);
                answer.assert_field("cache-control", "max-age=60").assert_field("accept-ranges", "bytes");
                answer.assert_no_field("age").assert_no_field("cache-status").assert_no_field("via");
                answer.assert_no_field("vary");
                let etag = answer.field("etag").unwrap();
                assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag}");
                let date = answer.field("date").unwrap();
                assert!(date.len() == 29 && !date.contains("1994"), "{date}");
                assert!(answer.field("x-request-id").is_some());
            }
            edge.get("/a.txt").await.assert_field("cache-control", "no-cache");
            let unknown = edge.get("/unknown.xyzzy").await;
            unknown.assert_field("content-type", "application/octet-stream").assert_no_field("cache-control");
            let head = edge.head("/a.txt").await;
            head.assert_status(200).assert_field("content-length", "10").assert_body("");
            let line = &edge.logged("/css/style.css", 2).await[1];
            assert_eq!(line["outcome"], "file", "{line}");
            assert_eq!((line["status"].as_u64(), line["bytes_out"].as_u64()), (Some(200), Some(3)), "{line}");
            assert!(line.get("upstream").is_none() && line.get("age").is_none(), "{line}");
            assert_eq!(edge.logged("/a.txt", 2).await[1]["bytes_out"].as_u64().unwrap_or(0), 0);
            edge.assert_counted("file 5").await;
        }
    }

    async fn a_file_in_memory_is_answered_by_the_front(mode) {
        let files = digits();
        files.put("www/index.html", "home");
        let edge = edge(mode, &files, |_| {}).await;
        for path in ["/a.txt", "/", "/a.txt?query"] {
            edge.get(path).await.assert_status(200);
            edge.get(path).await.assert_status(200).assert_front();
            edge.head(path).await.assert_status(200).assert_body("").assert_front();
        }
        edge.send(get("/a.txt").field("Range", "bytes=1-2")).await.assert_status(206).assert_proxy();
        edge.send(get("/a.txt").field("If-None-Match", "\"x\"")).await.assert_status(200).assert_proxy();
        if mode.front {
            assert!(edge.metric("foreland_front_total", &[("result", "file")]) >= 6.0);
        }
        let old = edge.get("/a.txt").await;
        old.assert_body("0123456789").assert_field("content-type", "text/plain; charset=utf-8");
        assert!(old.field("date").is_some() && old.field("x-request-id").is_some());
    }

    async fn who_has_a_file_already_is_told_so(mode) {
        let files = digits();
        for keep in kept_or_not() {
            let edge = edge(mode, &files, keep).await;
            let etag = edge.get("/a.txt").await.field("etag").unwrap();
            for (name, value) in [
                ("If-None-Match", &*etag), ("If-None-Match", "*"), ("If-None-Match", &format!("\"x\", W/{etag}")),
                ("If-Modified-Since", MODIFIED),
            ] {
                let answer = edge.send(get("/a.txt").field(name, value)).await;
                answer.assert_status(304).assert_body("").assert_field("etag", &etag);
                answer.assert_no_field("content-type").assert_no_field("content-length");
            }
            for (name, value) in [("If-None-Match", "\"x\""), ("If-Modified-Since", EARLIER), ("If-Match", &*etag)] {
                edge.send(get("/a.txt").field(name, value)).await.assert_status(200).assert_body("0123456789");
            }
            edge.send(get("/a.txt").field("If-Match", "\"x\"")).await.assert_status(412).assert_body("");
            let since = get("/a.txt").field("If-Unmodified-Since", EARLIER);
            edge.send(since).await.assert_status(412).assert_body("");
        }
    }

    async fn ranges_are_cut_from_a_file(mode) {
        let files = digits();
        for keep in kept_or_not() {
            let edge = edge(mode, &files, keep).await;
            let etag = edge.get("/a.txt").await.field("etag").unwrap();
            for (range, body, content_range) in [
                ("bytes=2-4", "234", "bytes 2-4/10"),
                ("bytes=7-", "789", "bytes 7-9/10"),
                ("bytes=-3", "789", "bytes 7-9/10"),
            ] {
                let answer = edge.send(get("/a.txt").field("Range", range)).await;
                answer.assert_status(206).assert_body(body).assert_field("content-range", content_range);
                answer.assert_field("content-length", &body.len().to_string());
            }
            let several = edge.send(get("/a.txt").field("Range", "bytes=0-1,8-9")).await;
            several.assert_status(206);
            assert!(several.whole && several.text().contains("\r\n\r\n01\r\n"), "{}", several.text());
            assert!(several.text().contains("Content-Range: bytes 8-9/10\r\n\r\n89\r\n"), "{}", several.text());
            assert!(several.field("content-type").unwrap().starts_with("multipart/byteranges"));
            let beyond = edge.send(get("/a.txt").field("Range", "bytes=10-")).await;
            beyond.assert_status(416).assert_field("content-range", "bytes */10").assert_body("");
            for (condition, status) in [(&*etag, 206), (MODIFIED, 206), ("\"x\"", 200), (EARLIER, 200)] {
                let ask = get("/a.txt").field("Range", "bytes=0-0").field("If-Range", condition);
                edge.send(ask).await.assert_status(status);
            }
            edge.send(head("/a.txt").field("Range", "bytes=0-0")).await.assert_status(200);
        }
    }
}

in_every_mode! {
    async fn only_reading_is_allowed(mode) {
        let files = digits();
        let edge = edge(mode, &files, |_| {}).await;
        let options = edge.send(get("/a.txt").method("OPTIONS")).await;
        options.assert_status(204).assert_field("allow", "GET, HEAD, OPTIONS");
        for ask in [post("/a.txt", "x"), get("/a.txt").method("DELETE"), get("/a.txt").method("PUT")] {
            edge.send(ask).await.assert_status(405).assert_field("allow", "GET, HEAD, OPTIONS");
        }
        assert_eq!(std::fs::read(files.path("www/a.txt")).unwrap(), b"0123456789");
    }

    async fn a_body_that_nobody_asked_for_does_no_harm(mode) {
        let files = digits();
        files.put("www/large", vec![b'a'; 3 * MIB]);
        let edge = edge(mode, &files, |_| {}).await;
        for (path, length) in [("/a.txt", 10), ("/a.txt", 10), ("/large", 3 * MIB), ("/none", 0)] {
            let smuggled = "GET /evil HTTP/1.1\r\nHost: edge.test\r\n\r\n";
            let answer = edge.send(post(path, smuggled).method("GET")).await;
            assert!(answer.whole && (length == 0 || answer.body.len() == length), "{path} {:?}", answer.head);
            if !mode.is_h2() {
                answer.assert_field("connection", "close");
            }
        }
        assert!(edge.log().iter().all(|line| line["uri"] != "/evil"));
    }

    async fn a_folder_answers_with_its_index_and_only_with_its_slash(mode) {
        let files = Files::new();
        files.put("www/docs/index.html", "docs");
        files.put("www/empty/a.txt", "x");
        let edge = edge_with(mode, &files, |_| {}, |_, route| {
            route.rewrite = Some(Rewrite::strip("/static").unwrap());
        })
        .await;
        let docs = edge.get("/static/docs/").await;
        docs.assert_status(200).assert_body("docs").assert_field("content-type", "text/html; charset=utf-8");
        for (path, location) in [
            ("/static/docs", "/static/docs/"),
            ("/static/docs?a=b&c", "/static/docs/?a=b&c"),
            ("/static/%64ocs", "/static/%64ocs/"),
            ("//static/docs", "/static/docs/"),
        ] {
            let moved = edge.get(path).await;
            moved.assert_status(301).assert_field("location", location).assert_body("");
        }
        // Nobody is sent to another host.
        let moved = edge.get("//docs").await;
        moved.assert_status(301).assert_field("location", "/docs/");
        edge.get("/static/empty/").await.assert_status(404);
        edge.get("/static/docs/index.html/").await.assert_status(404);
        edge.get("/static/docs/index.html/x").await.assert_status(404);
    }

    async fn a_rewritten_path_is_a_folder_where_the_clients_is(mode) {
        let files = Files::new();
        files.put("www/index.html", "top");
        files.put("www/people/eve/index.html", "eve");
        let rewritten = |rewrite| edge_with(mode, &files, |_| {}, |_, route| route.rewrite = Some(rewrite));
        let stripped = rewritten(Rewrite::strip("/static").unwrap()).await;
        stripped.get("/static").await.assert_status(301).assert_field("location", "/static/");
        stripped.get("/static/").await.assert_status(200).assert_body("top");
        let matched = rewritten(Rewrite::regex("^/user/([^/]+)/?$", "/people/$1").unwrap()).await;
        matched.get("/user/eve").await.assert_status(301).assert_field("location", "/user/eve/");
        matched.get("/user/eve/").await.assert_status(200).assert_body("eve");
    }

    async fn a_file_is_compressed_for_who_can_read_it(mode) {
        let files = Files::new();
        let (small, large) = (text(20_000, 1), text(3 << 20, 2));
        files.put("www/small.txt", &small);
        files.put("www/large.txt", &large);
        files.put("www/image.png", text(20_000, 3));
        let edge = edge_with(mode, &files, |_| {}, |_, route| route.compress = true).await;
        let ask = |path: &str| edge.send(get(path).field("Accept-Encoding", "gzip, br"));
        let first = ask("/small.txt").await;
        first.assert_coded("br", &small).assert_no_field("content-length").assert_field("vary", "Accept-Encoding");
        assert!(first.field("etag").unwrap().starts_with("W/\""), "{first:?}");
        let stored = async {
            while ask("/small.txt").await.field("content-length").is_none() {
                tokio::task::yield_now().await;
            }
        };
        soon(stored, "the form to be stored").await;
        ask("/small.txt").await.assert_coded("br", &small).assert_front();
        // Too large to be kept: for each client anew.
        for _ in 0..3 {
            ask("/large.txt").await.assert_coded("br", &large).assert_no_field("content-length");
        }
        edge.get("/large.txt").await.assert_coded("", &large).assert_field("vary", "Accept-Encoding");
        ask("/image.png").await.assert_coded("", text(20_000, 3)).assert_no_field("vary");
    }

    async fn a_sibling_that_is_exchanged_is_another_one(mode) {
        let files = digits();
        files.put("www/a.txt.gz", "one");
        let edge = edge(mode, &files, |_| {}).await;
        let ask = || get("/a.txt").field("Accept-Encoding", "gzip, br");
        let one = edge.send(ask()).await;
        one.assert_field("content-encoding", "gzip").assert_body("one");
        files.put("www/a.txt.gz", "other");
        let tag = one.field("etag").unwrap();
        let asked = async {
            while edge.send(ask().field("If-None-Match", &tag)).await.head.status == 304 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        soon(asked, "the other to be noticed").await;
        edge.send(ask().field("If-None-Match", &tag)).await.assert_status(200).assert_body("other");
    }

    async fn a_file_too_large_for_the_cache_is_read_as_it_is_sent(mode) {
        let files = Files::new();
        files.put("www/a.bin", "a".repeat(700 << 10));
        files.put("www/a.bin.gz", "b".repeat(700 << 10));
        let change = |setup: &mut Setup, _: &mut Route| setup.cache.memory = 8 << 20;
        let edge = edge_with(mode, &files, |_| {}, change).await;
        for _ in 0..2 {
            edge.get("/a.bin").await.assert_body("a".repeat(700 << 10));
        }
        let kept = edge.metric("foreland_cache_bytes", &[]);
        assert!(kept > 700_000.0 && kept < 1_048_576.0, "one of the two: {kept}");
    }

    async fn a_folder_without_an_index_is_listed_where_that_is_wanted(mode) {
        let files = Files::new();
        files.put("www/pub/b.txt", "12345");
        files.put("www/pub/<a>.txt", "1");
        files.put("www/pub/sub/x", "");
        files.put("www/pub/.hidden", "");
        let edge = edge(mode, &files, |settings| settings.listing = true).await;
        let page = edge.send(get("/pub/").field("Accept", "text/html,*/*;q=0.8")).await;
        page.assert_status(200).assert_field("content-type", "text/html; charset=utf-8");
        page.assert_field("cache-control", "no-cache").assert_field("vary", "Accept");
        let text = page.text();
        assert!(text.contains("b.txt") && text.contains("sub/") && text.contains("&lt;a&gt;.txt"), "{text}");
        assert!(!text.contains("<a>.txt") && !text.contains(".hidden"), "{text}");
        let json = edge.send(get("/pub/").field("Accept", "application/json")).await;
        json.assert_field("content-type", "application/json");
        let items: serde_json::Value = serde_json::from_slice(&json.body).unwrap();
        let names: Vec<_> = items.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["sub", "<a>.txt", "b.txt"]);
        edge.head("/pub/").await.assert_status(200).assert_body("");
        edge.get("/pub/sub").await.assert_status(301).assert_field("location", "/pub/sub/");
        assert_eq!(edge.logged("/pub/", 3).await[0]["outcome"], "file");
    }

    async fn a_fallback_answers_for_what_does_not_exist(mode) {
        let files = digits();
        files.put("www/index.html", "app");
        let edge = edge(mode, &files, |settings| settings.fallback = Some("/index.html".into())).await;
        for number in 0..4 {
            let answer = edge.get(&format!("/users/{number}")).await;
            answer.assert_status(200).assert_body("app").assert_field("content-type", "text/html; charset=utf-8");
        }
        let etag = edge.get("/users/5").await.field("etag").unwrap();
        edge.send(get("/users/6").field("If-None-Match", &etag)).await.assert_status(304);
        edge.get("/a.txt").await.assert_body("0123456789");
        // What stands in for many names is in memory once, beside the file itself.
        edge.assert_metric("foreland_cache_objects", &[], 2.0).await;
    }

    async fn what_does_not_exist_is_not_found(mode) {
        let files = Files::new();
        files.put("www/404.html", "nothing here");
        let plain = edge(mode, &files, |_| {}).await;
        let page = plain.get("/none").await;
        page.assert_status(404).assert_field("cache-control", "no-store");
        assert!(page.text().contains("there is no such file"), "{}", page.text());
        assert_eq!(plain.logged("/none", 1).await[0]["outcome"], "answer");
        for keep in kept_or_not() {
            let edge = edge(mode, &files, |settings| {
                keep(settings);
                settings.not_found = Some("/404.html".into());
                settings.expires = vec![("*".into(), Lifetime::Seconds(9))];
            })
            .await;
            for ask in [
                get("/none"), get("/none").field("If-None-Match", "*"), get("/none").field("Range", "bytes=0-1"),
                get("/none").field("If-Modified-Since", "Fri, 01 Jan 2100 00:00:00 GMT"), get("/a/b/c/"),
            ] {
                let page = edge.send(ask).await;
                page.assert_status(404).assert_body("nothing here").assert_field("content-length", "12");
                page.assert_field("content-type", "text/html; charset=utf-8").assert_no_field("etag");
                page.assert_no_field("last-modified").assert_no_field("cache-control");
            }
            edge.head("/none").await.assert_status(404).assert_body("");
            edge.get("/404.html").await.assert_status(200).assert_field("cache-control", "max-age=9");
        }
    }

    async fn a_file_compressed_beforehand_goes_to_who_likes_it_best(mode) {
        let files = Files::new();
        for (name, body) in [("a.js", "plain"), ("a.js.br", "as brotli"), ("a.js.gz", "as gzip"), ("b.js", "b")] {
            files.put(&format!("www/{name}"), body);
            files.date(&format!("www/{name}"), WRITTEN);
        }
        let edge = edge(mode, &files, |settings| settings.keep = 0).await;
        for (accept, body, coding) in [
            ("gzip, deflate, br, zstd", "as brotli", Some("br")),
            ("gzip", "as gzip", Some("gzip")),
            ("gzip;q=1, br;q=0.5", "as gzip", Some("gzip")),
            ("br;q=0, *", "as gzip", Some("gzip")),
            ("zstd", "plain", None),
            ("identity, br;q=0", "plain", None),
        ] {
            let answer = edge.send(get("/a.js").field("Accept-Encoding", accept)).await;
            answer.assert_status(200).assert_body(body).assert_field("vary", "Accept-Encoding");
            assert_eq!(answer.field("content-encoding").as_deref(), coding, "{accept}");
            answer.assert_field("content-type", "text/javascript; charset=utf-8");
            let etag = answer.field("etag").unwrap();
            let again = get("/a.js").field("Accept-Encoding", accept).field("If-None-Match", &etag);
            edge.send(again).await.assert_status(304);
        }
        let plain = edge.get("/a.js").await;
        let br = edge.send(get("/a.js").field("Accept-Encoding", "br")).await;
        assert_ne!(plain.field("etag"), br.field("etag"));
        let part = edge.send(get("/a.js").field("Accept-Encoding", "br").field("Range", "bytes=0-1")).await;
        part.assert_status(206).assert_body("pl").assert_no_field("content-encoding");
        edge.send(get("/b.js").field("Accept-Encoding", "br")).await.assert_body("b").assert_no_field("vary");
    }

    async fn a_change_on_the_disk_is_noticed(mode) {
        let files = digits();
        let edge = edge(mode, &files, |_| {}).await;
        let first = edge.get("/a.txt").await;
        files.put("www/a.txt", "changed");
        becomes(&edge, "/a.txt", |answer| answer.body == b"changed").await;
        assert_ne!(edge.get("/a.txt").await.field("etag"), first.field("etag"));
        // By a rename, to the same length and the same time of change.
        let modified = std::fs::metadata(files.path("www/a.txt")).unwrap().modified().unwrap();
        files.put("new", "renamed");
        std::fs::File::options().append(true).open(files.path("new")).unwrap().set_modified(modified).unwrap();
        std::fs::rename(files.path("new"), files.path("www/a.txt")).unwrap();
        becomes(&edge, "/a.txt", |answer| answer.body == b"renamed").await;
        std::fs::remove_file(files.path("www/a.txt")).unwrap();
        becomes(&edge, "/a.txt", |answer| answer.head.status == 404).await;
        edge.assert_metric("foreland_cache_objects", &[], 0.0).await;
        files.put("www/a.txt", "0123456789");
        edge.get("/a.txt").await.assert_status(200).assert_field("etag", &first.field("etag").unwrap());
    }

    async fn a_file_that_is_replaced_while_it_is_read_stays_what_it_was(mode) {
        let files = Files::new();
        files.put("www/large", vec![b'a'; 24 * MIB]);
        files.put("new", vec![b'b'; 24 * MIB]);
        let edge = edge(mode, &files, |_| {}).await;
        let mut incoming = edge.begin(get("/large")).await;
        incoming.read_to(1).await;
        std::fs::rename(files.path("new"), files.path("www/large")).unwrap();
        let old = edge.finish(incoming).await;
        assert!(old.whole && old.body.len() == 24 * MIB && old.body.iter().all(|byte| *byte == b'a'));
        let new = edge.get("/large").await;
        assert!(new.whole && new.body.len() == 24 * MIB && new.body.iter().all(|byte| *byte == b'b'));
        assert_ne!(old.field("etag"), new.field("etag"));
    }

    async fn a_file_that_becomes_shorter_while_it_is_read_is_no_success(mode) {
        let files = Files::new();
        files.put("www/large", vec![b'a'; 48 * MIB]);
        let edge = edge(mode, &files, |_| {}).await;
        let mut incoming = edge.begin(get("/large")).await;
        incoming.read_to(1).await;
        let file = std::fs::File::options().write(true).open(files.path("www/large")).unwrap();
        file.set_len(MIB as u64).unwrap();
        edge.finish(incoming).await.assert_broken();
    }

    async fn nobody_reads_for_a_client_that_has_left(mode) {
        let files = Files::new();
        files.put("www/large", vec![b'a'; 48 * MIB]);
        let edge = edge(mode, &files, |_| {}).await;
        let mut incoming = edge.begin(get("/large")).await;
        incoming.read_to(1).await;
        incoming.leave();
        let line = &edge.logged("/large", 1).await[0];
        assert!(line["bytes_out"].as_u64().unwrap() < 48 * MIB as u64, "{line}");
    }

    async fn links_are_followed_as_the_folder_says(mode) {
        let files = digits();
        files.put("secret", "secret");
        std::os::unix::fs::symlink("a.txt", files.path("www/within")).unwrap();
        std::os::unix::fs::symlink("../secret", files.path("www/out")).unwrap();
        for (policy, within, out) in
            [(Symlinks::Within, 200, 404), (Symlinks::None, 404, 404), (Symlinks::Anywhere, 200, 200)]
        {
            let edge = edge(mode, &files, |settings| settings.symlinks = policy).await;
            for _ in 0..2 {
                edge.get("/within").await.assert_status(within);
                edge.get("/out").await.assert_status(out);
            }
        }
    }

    async fn no_path_leads_out_of_the_folder(mode) {
        let files = digits();
        files.put("secret", "secret");
        files.put("www/.git/config", "secret");
        files.put("www/.well-known/x", "well known");
        let edge = edge(mode, &files, |_| {}).await;
        for path in [
            "/../secret", "/%2e%2e/secret", "/.%2e/secret", "/..%2fsecret", "/%2e%2e%2fsecret", "/a/../../secret",
            "/..%5csecret", "/%252e%252e/secret", "/.git/config", "/%2egit/config", "/a/..;/secret", "/a.txt%00",
            "/a.txt%0a", "/%c0%ae%c0%ae/secret", "/%", "/%zz", "/a.txt/", "/a.txt/../../secret", "//../secret",
        ] {
            let answer = edge.get(path).await;
            assert!(matches!(answer.head.status, 400 | 404), "{path}: {:?}", answer.head);
            assert!(!answer.text().contains("secret"), "{path}: {}", answer.text());
        }
        edge.get("/.well-known/x").await.assert_body("well known");
    }

    async fn fields_are_edited_as_the_route_says(mode) {
        let files = digits();
        files.put("www/docs/a", "");
        let edge = edge_with(mode, &files, |_| {}, |_, route| {
            route.response_headers = Edits {
                set: vec![("X-Frame-Options".into(), "DENY".parse().unwrap())],
                add: Vec::new(),
                remove: vec!["Last-Modified".into()],
            };
        })
        .await;
        for _ in 0..2 {
            let answer = edge.get("/a.txt").await;
            answer.assert_status(200).assert_field("x-frame-options", "DENY").assert_no_field("last-modified");
        }
        for (path, status) in [("/docs", 301), ("/none", 404), ("/docs/", 404)] {
            edge.get(path).await.assert_status(status).assert_field("x-frame-options", "DENY");
        }
    }
}

#[tokio::test]
async fn a_listener_says_that_files_too_come_over_https() {
    let files = digits();
    let edge = edge_with(
        Mode::H1_TLS,
        &files,
        |_| {},
        |setup, _| {
            setup.listeners[0].hsts = Some("max-age=60".parse().unwrap());
        },
    )
    .await;
    for path in ["/a.txt", "/a.txt", "/none"] {
        edge.get(path).await.assert_field("strict-transport-security", "max-age=60");
    }
}

#[tokio::test]
async fn what_may_not_be_read_is_forbidden() {
    use std::os::unix::fs::PermissionsExt;
    let files = digits();
    std::fs::set_permissions(files.path("www/a.txt"), std::fs::Permissions::from_mode(0o000)).unwrap();
    // Nothing is forbidden to root.
    let expected = if std::fs::read(files.path("www/a.txt")).is_ok() { 200 } else { 403 };
    let edge = edge(Mode::H1, &files, |_| {}).await;
    edge.get("/a.txt").await.assert_status(expected);
}

#[tokio::test]
async fn a_disk_that_fails_is_no_lack_of_a_file_and_no_short_success() {
    // It says that it has a length, and fails when it is read.
    let broken = std::path::Path::new("/sys/class/net/lo/speed");
    if std::fs::metadata(broken).is_err() || std::fs::read(broken).is_ok() {
        return;
    }
    let (files, mut statuses) = (Files::new(), Vec::new());
    for keep in kept_or_not() {
        let edge = edge(Mode::H1, &files, |settings| {
            keep(settings);
            settings.root = broken.parent().unwrap().into();
        })
        .await;
        let answer = edge.wire().await.send(&get("/speed")).await;
        if answer.head.status == 503 {
            assert!(answer.field("retry-after").is_some() && answer.text().contains("cannot be read"));
            edge.assert_counted("answer 1").await;
        } else {
            answer.assert_broken();
        }
        statuses.push(answer.head.status);
    }
    assert_eq!(statuses[0], 503);
}

#[tokio::test]
async fn a_large_file_takes_no_memory() {
    let files = Files::new();
    let length = 300 * MIB as u64;
    files.put("www/large", "");
    std::fs::File::options().write(true).open(files.path("www/large")).unwrap().set_len(length).unwrap();
    let edge = edge(Mode::H1, &files, |_| {}).await;
    let mut wire = edge.wire().await;
    wire.write(get("/large").wire()).await;
    let head = wire.head().await.unwrap();
    assert_eq!(head.field("content-length"), Some(length.to_string()));
    let mut left = length as usize;
    while left > 0 {
        let read = wire.exactly(left.min(MIB)).await.len();
        assert!(read > 0, "{left} bytes are missing");
        left -= read;
    }
    assert_eq!(edge.metric("foreland_cache_bytes", &[]), 0.0);
    assert_eq!(edge.logged("/large", 1).await[0]["bytes_out"].as_u64(), Some(length));
    let range = edge.send(get("/large").field("Range", &format!("bytes={}-", length - 3))).await;
    range.assert_status(206).assert_body([0, 0, 0]);
}
