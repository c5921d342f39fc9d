//! What was read through `${file:…}`: kept to be left out of everything that people and programs are told.

use std::borrow::Cow;
use std::collections::HashSet;

/// A shorter text is in every other word, so hiding it would hide nothing and make messages unreadable.
const SHORTEST: usize = 3;
/// So many bytes in a row give a longer secret away. Messages may cut what they quote, so the whole is not enough.
const RUN: usize = 8;

/// The secrets of one configuration.
#[derive(Default)]
pub struct Secrets {
    /// Those that are shorter than a run.
    short: Vec<Vec<u8>>,
    /// Every run of each longer one, so that looking for all of them takes one pass over a text.
    runs: HashSet<[u8; RUN]>,
}

impl Secrets {
    /// One more text to hide.
    pub fn add(&mut self, secret: &str) {
        let bytes = secret.trim().to_ascii_lowercase().into_bytes();
        if bytes.len() >= RUN {
            self.runs.extend(bytes.windows(RUN).filter_map(|run| <[u8; RUN]>::try_from(run).ok()));
        } else if bytes.len() >= SHORTEST && !self.short.contains(&bytes) {
            self.short.push(bytes);
        }
    }

    /// The same text with `…` for every secret and every part of one that would give it away, in whatever case.
    pub fn hide<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let lower = text.to_ascii_lowercase().into_bytes();
        let mut secret = vec![false; lower.len()];
        let is_run = |run: &[u8]| <[u8; RUN]>::try_from(run).is_ok_and(|run| self.runs.contains(&run));
        if !self.runs.is_empty() {
            mark(&lower, RUN, is_run, &mut secret);
        }
        for short in &self.short {
            mark(&lower, short.len(), |part| part == short.as_slice(), &mut secret);
        }
        if !secret.contains(&true) {
            return Cow::Borrowed(text);
        }
        let mut shown = String::new();
        for (at, c) in text.char_indices() {
            let hidden = secret.get(at..at + c.len_utf8()).is_some_and(|bytes| bytes.contains(&true));
            let c = if hidden { '…' } else { c };
            // What is cut off behind a secret is not worth a second one.
            if c != '…' || !shown.ends_with('…') {
                shown.push(c);
            }
        }
        Cow::Owned(shown)
    }
}

/// Marks the bytes of every part of this length that `is_secret` knows.
fn mark(text: &[u8], length: usize, is_secret: impl Fn(&[u8]) -> bool, secret: &mut [bool]) {
    for (at, part) in text.windows(length).enumerate() {
        if is_secret(part) {
            secret.iter_mut().skip(at).take(length).for_each(|byte| *byte = true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_and_what_gives_it_away_are_hidden() {
        let mut secrets = Secrets::default();
        for secret in ["tok", "correct horse battery", "pässwörter", "ab", "", "two lines\nof a secret\n"] {
            secrets.add(secret);
        }
        let rows = [
            ("nothing of it", "nothing of it"),
            ("`tok` and token", "`…` and …en"),
            ("toktok", "…"),
            ("`correct horse battery` is not one of them", "`…` is not one of them"),
            ("`Bearer correct hors…` is too long", "`Bearer …` is too long"),
            ("CORRECT HORSE", "…"),
            ("battery", "battery"),
            ("write `pässwörter`", "write `…`"),
            ("two lines\\nof a secret", "…\\n…"),
            ("ab", "ab"),
            ("", ""),
        ];
        for (text, expected) in rows {
            assert_eq!(secrets.hide(text), expected, "{text}");
        }
        assert!(matches!(Secrets::default().hide("text"), Cow::Borrowed("text")));
    }
}
