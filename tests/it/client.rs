//! Who the client is: what proxies say of it is believed from those that are trusted, and from nobody else.

use crate::dsl::*;
use foreland::setup::Setup;

/// The client of the tests is a trusted proxy, and so are its neighbours.
fn trusting(setup: &mut Setup) {
    setup.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()].into();
}

in_every_mode! {
    async fn a_trusted_proxy_names_the_client_in_either_spelling(mode) {
        let origin = Origin::start(|_| fresh("hello")).await;
        let edge = Edge::with(mode, &[origin.address], trusting).await;
        let plain = "203.0.113.9";
        for (path, fields, client, scheme) in [
            ("/a", &[("X-Forwarded-For", "203.0.113.9, 10.0.0.7"), ("X-Forwarded-Proto", "http, https")][..], plain, "https"),
            ("/b", &[("Forwarded", "for=198.51.100.1, for=\"203.0.113.9:80\";proto=https"), ("Forwarded", "for=10.0.0.7;proto=http")], plain, "https"),
            ("/c", &[("Forwarded", "for=\"[2001:db8::1]\"")], "2001:db8::1", "http"),
            // A proxy that writes the one lets the other through unseen.
            ("/d", &[("Forwarded", "for=198.51.100.1;proto=https"), ("X-Forwarded-For", plain)], plain, "http"),
            ("/e", &[("Forwarded", "for=unknown;proto=https")], "127.0.0.1", "https"),
        ] {
            let ask = fields.iter().fold(get(path), |ask, (name, value)| ask.field(name, value));
            edge.send(ask.clone()).await.assert_body("hello");
            edge.send(ask).await.assert_body("hello").assert_cache_status("hit").assert_front();
            for line in edge.logged(path, 2).await {
                assert_eq!((line["client"].as_str(), line["scheme"].as_str()), (Some(client), Some(scheme)), "{line}");
            }
            let seen = origin.last();
            assert_eq!(seen.field("x-real-ip").as_deref(), Some(client), "{seen:?}");
            assert_eq!(seen.field("x-forwarded-proto").as_deref(), Some(scheme), "{seen:?}");
        }
    }

    async fn the_origin_is_told_the_same_in_both_spellings(mode) {
        let origin = Origin::start(|_| fresh("hello")).await;
        let edge = Edge::with(mode, &[origin.address], trusting).await;
        let own = "for=127.0.0.1;host=edge.test;proto=http";
        for (path, fields, hops, elements) in [
            ("/a", &[("X-Forwarded-For", "198.51.100.1, 203.0.113.9"), ("Forwarded", "for=6.6.6.6")][..],
                "198.51.100.1, 203.0.113.9, 127.0.0.1", "for=203.0.113.9;proto=http, "),
            ("/b", &[("Forwarded", "for=198.51.100.1"), ("Forwarded", "for=203.0.113.9")],
                "203.0.113.9, 127.0.0.1", "for=198.51.100.1, for=203.0.113.9, "),
            ("/c", &[("Forwarded", "for=_hidden")], "127.0.0.1", "for=_hidden, "),
            ("/d", &[], "127.0.0.1", ""),
        ] {
            edge.send(fields.iter().fold(get(path), |ask, (name, value)| ask.field(name, value))).await.assert_body("hello");
            let seen = origin.last();
            assert_eq!(seen.field("x-forwarded-for").as_deref(), Some(hops), "{seen:?}");
            assert_eq!(seen.field("forwarded"), Some(format!("{elements}{own}")), "{seen:?}");
        }
    }

    async fn nobody_else_is_heard(mode) {
        let origin = Origin::start(|_| fresh("hello")).await;
        let edge = Edge::with(mode, &[origin.address], |setup| setup.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()].into()).await;
        let sent = [
            ("X-Forwarded-For", "10.0.0.1"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "evil.test"), ("X-Forwarded-Port", "1"),
            ("X-Real-IP", "10.0.0.1"), ("Forwarded", "for=10.0.0.1;proto=https;host=evil.test"), ("X-Request-Id", "mine"),
        ];
        edge.send(sent.iter().fold(get("/a"), |ask, (name, value)| ask.field(name, value))).await.assert_body("hello");
        let line = &edge.logged("/a", 1).await[0];
        assert_eq!((line["client"].as_str(), line["scheme"].as_str()), (Some("127.0.0.1"), Some("http")), "{line}");
        let seen = origin.last();
        for (name, value) in [
            ("x-forwarded-for", Some("127.0.0.1")), ("x-forwarded-proto", Some("http")), ("x-forwarded-host", Some(HOST)), ("x-forwarded-port", None),
            ("x-real-ip", Some("127.0.0.1")), ("forwarded", Some("for=127.0.0.1;host=edge.test;proto=http")),
        ] {
            assert_eq!(seen.field(name).as_deref(), value, "{name} of {seen:?}");
        }
        assert_ne!(seen.field("x-request-id").as_deref(), Some("mine"));
    }
}
