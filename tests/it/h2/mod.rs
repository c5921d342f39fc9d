//! How the edge takes HTTP/2, frame by frame: the cases that the public tool h2spec made known, written anew from
//! RFC 9113 and RFC 7541 because no registry has it, and some that came after it.
//!
//! Each file is a table by section. A row says what is sent and what the RFC asks for; where something else happens,
//! it says what and why, and that is asserted too. `cargo test --test it h2:: -- --nocapture` prints those rows.

mod case;
mod connecting;
mod definitions;
mod fields;
mod floods;
mod frame;
mod framing;
mod hpack;
mod messages;
mod streams;
mod windows;

use crate::dsl::*;
use case::Case;

/// As few as possible, so that a case reaches the limit quickly.
const STREAMS: u32 = 8;

/// Plays a table before an origin: `/` can be stored, `/pass` cannot, and `/held` is never answered.
async fn play(cases: fn() -> Vec<Case>) {
    let held = Gate::new();
    let origin = Origin::start(move |seen| match seen.path() {
        "/held" => ok("").hold(&held),
        "/pass" => ok("hello").field("Cache-Control", "no-store"),
        _ => fresh("hello"),
    })
    .await;
    let mut wrong = vec![];
    for mode in [Mode::H2, Mode::H2_PROXY, Mode::H2_TLS] {
        let edge = Edge::with(mode, &[origin.address], |setup| setup.limits.h2_streams = STREAMS).await;
        // From here on it is answered from the store.
        edge.get("/").await.assert_body("hello");
        for case in cases() {
            let played = case.play(&edge).await;
            wrong.extend(played.err().map(|error| format!("{error} ({mode:?})")));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    println!("{} cases; not as the RFC asks:", cases().len());
    cases().iter().filter_map(Case::deviation).for_each(|row| println!("{row}"));
}

/// A test for each table.
macro_rules! tables {
    ($($name:ident: $table:path,)+) => {$(
        #[tokio::test]
        async fn $name() {
            play($table).await;
        }
    )+};
}

tables! {
    a_connection_begins_as_rfc_9113_3_says: connecting::cases,
    frames_of_every_kind_are_taken: connecting::every_kind,
    frames_are_read_as_rfc_9113_4_says: framing::cases,
    streams_live_as_rfc_9113_5_says: streams::cases,
    frames_mean_what_rfc_9113_6_says: definitions::cases,
    windows_are_kept_as_rfc_9113_6_9_says: windows::cases,
    messages_are_formed_as_rfc_9113_8_1_says: messages::cases,
    fields_are_refused_as_rfc_9113_8_2_says: fields::cases,
    fields_are_compressed_as_rfc_7541_says: hpack::cases,
    floods_are_held_off_as_rfc_9113_10_5_says: floods::cases,
}
