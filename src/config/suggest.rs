//! "Did you mean": the known word that a mistyped one is closest to.

/// The candidate that `word` is most likely a slip of, or None if it is like none of them.
///
/// A word may be wrong in one place of three letters, two of six, and so on; letter case does not count.
pub fn suggest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    // A slip is short; the distance is quadratic, so a pasted page must not be compared.
    const LONGEST: usize = 64;
    if word.len() > LONGEST {
        return None;
    }
    let lower = word.to_lowercase().replace('-', "_");
    let allowed = (lower.chars().count() / 3).clamp(1, 4);
    let mut best: Option<(usize, &'c str)> = None;
    for candidate in candidates {
        if candidate.len() > LONGEST || candidate == word {
            continue;
        }
        let distance = strsim::osa_distance(&lower, &candidate.to_lowercase().replace('-', "_"));
        // `ip` must not become `up` by way of losing everything it has.
        let close = distance <= allowed && distance < candidate.chars().count();
        if close && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// `did you mean `balance`?`, if anything is close.
pub fn did_you_mean<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<String> {
    suggest(word, candidates).map(|close| format!("did you mean `{close}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_a_stranger_finds_none() {
        let words = ["balance", "bind", "servers", "health", "round_robin", "ttl", "memory"];
        let rows = [
            ("ballance", Some("balance")),
            ("balnace", Some("balance")),
            ("Bind", Some("bind")),
            ("bnid", Some("bind")),
            ("server", Some("servers")),
            ("round-robin", Some("round_robin")),
            ("roundrobin", Some("round_robin")),
            ("tll", Some("ttl")),
            ("x", None),
            ("upstream", None),
            ("", None),
        ];
        for (word, expected) in rows {
            assert_eq!(suggest(word, words), expected, "{word}");
        }
    }

    #[test]
    fn the_closest_wins_and_a_long_word_is_not_compared() {
        assert_eq!(suggest("fals", ["fall", "false"]), Some("fall"));
        assert_eq!(suggest(&"x".repeat(100), ["x"]), None);
    }
}
