//! Writes a number of seconds as people read it: `30d`, `1h 30m`.

use std::fmt::Write;

const UNITS: [(u64, char); 4] = [(86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')];

/// Days, hours, minutes and seconds, without those that are nothing: `29d 23h 58m 30s`; `0s` for none.
pub fn human(seconds: u64) -> String {
    let mut out = String::new();
    let mut rest = seconds;
    for (unit, letter) in UNITS {
        let count = rest / unit;
        rest %= unit;
        if count > 0 {
            let gap = if out.is_empty() { "" } else { " " };
            let _ = write!(out, "{gap}{count}{letter}"); // writing to a String cannot fail
        }
    }
    if out.is_empty() { "0s".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        for (seconds, text) in [
            (0, "0s"),
            (1, "1s"),
            (60, "1m"),
            (5_400, "1h 30m"),
            (2_592_000, "30d"),
            (2_591_910, "29d 23h 58m 30s"),
            (86_401, "1d 1s"),
            (u64::MAX, "213503982334601d 7h 15s"),
        ] {
            assert_eq!(human(seconds), text);
        }
    }
}
