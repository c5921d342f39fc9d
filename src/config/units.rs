//! Durations, sizes and whole numbers as people write them: `1h30m`, `10MiB`, `8080`.

use std::time::Duration;

/// What a duration looks like, for messages.
pub const DURATION_LOOKS: &str = "a duration such as 30s, 10m, 1h, 30d";
/// What a size looks like, for messages.
pub const SIZE_LOOKS: &str = "a size such as 64KiB, 512MiB, 10GiB";

/// Longest first, which is also the order in which they must be written. A year is that of HSTS and certificates.
const TIMES: &[(&str, u64)] = &[
    ("y", 365 * 86_400_000),
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];
const SIZES: &[(&str, u64)] =
    &[("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// A clock that adds this to now must not overflow, so a duration ends somewhere: at 100 years.
const LONGEST: u64 = 36_500 * 86_400_000;

/// Reads `30s`, `250ms`, `1h30m`, `1h 30m`, `0`. An error says what is wrong: "`30 parsecs` has an unknown unit".
///
/// Spaces may stand between the parts, as they do where durations are printed, but not within one: `30 s` has one way
/// to be written, not two.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let shown = shorten(text);
    let mut total: u64 = 0;
    let mut least = usize::MAX;
    let mut rest = text;
    loop {
        let (number, unit, after) = split(rest).map_err(|why| format!("`{shown}` {why}"))?;
        let name = unit.trim_matches(' ');
        if name.is_empty() {
            return Err(no_unit(&shown, text, number, after.is_empty()));
        }
        let Some(at) = TIMES.iter().position(|(known, _)| *known == name) else {
            return Err(format!("`{shown}` has an unknown unit{}", instead(text)));
        };
        if unit.starts_with(' ') || (after.is_empty() && unit.ends_with(' ')) {
            return Err(format!("`{shown}` has a space{}", instead(text)));
        }
        if least != usize::MAX && at <= least {
            return Err(format!("`{shown}` must name each unit once, the longest first"));
        }
        least = at;
        let unit = TIMES.get(at).map_or(1, |(_, milliseconds)| *milliseconds);
        let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
        total = part
            .and_then(|part| part.checked_add(total))
            .filter(|total| *total <= LONGEST)
            .ok_or_else(|| format!("`{shown}` is longer than 100 years"))?;
        if after.is_empty() {
            return Ok(Duration::from_millis(total));
        }
        rest = after;
    }
}

/// Reads `512MiB`, `64KiB`, `100B`, `0`. Whole numbers and binary units only.
pub fn parse_size(text: &str) -> Result<u64, String> {
    if text == "0" {
        return Ok(0);
    }
    let shown = shorten(text);
    let (number, unit, after) = split(text).map_err(|why| format!("`{shown}` {why}"))?;
    let name = unit.trim();
    if !after.is_empty() {
        return Err(format!("`{shown}` is more than one number and its unit"));
    }
    if name.is_empty() {
        return Err(format!("`{shown}` has no unit; {number} bytes are `{number}B`"));
    }
    let Some((_, factor)) = SIZES.iter().find(|(known, _)| *known == name) else {
        return Err(unknown_size(&shown, number, name));
    };
    if unit != name {
        return Err(format!("`{shown}` has a space; write `{number}{name}`"));
    }
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor));
    bytes.ok_or_else(|| format!("`{shown}` is too large"))
}

/// Reads a whole number from `min` to `max`.
pub fn parse_integer(text: &str, min: u64, max: u64) -> Result<u64, String> {
    let shown = shorten(text);
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits {
        let negative =
            text.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        let why = if negative { "is negative" } else { "is not a whole number" };
        return Err(format!("`{shown}` {why}"));
    }
    match text.parse::<u64>() {
        Ok(number) if number < min => Err(format!("`{shown}` is too small")),
        Ok(number) if number <= max => Ok(number),
        _ => Err(format!("`{shown}` is too large")),
    }
}

/// Writes a duration the way it would be read: `1h30m`.
pub fn show_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut shown = String::new();
    for (name, unit) in TIMES.iter().filter(|(name, _)| !matches!(*name, "y" | "w")) {
        if rest >= *unit {
            shown.push_str(&format!("{}{name}", rest / unit));
            rest %= unit;
        }
    }
    if shown.is_empty() { "0s".to_owned() } else { shown }
}

/// Writes a size the way it would be read, in the largest unit that keeps it whole: `512MiB`.
pub fn show_size(bytes: u64) -> String {
    let whole = SIZES.iter().find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit));
    whole.map_or_else(|| "0".to_owned(), |(name, unit)| format!("{}{name}", bytes / unit))
}

/// The digits, the letters after them (with spaces before), and the rest.
fn split(text: &str) -> Result<(&str, &str, &str), &'static str> {
    if text.is_empty() {
        return Err("is empty");
    }
    if text.starts_with('-') {
        return Err("is negative");
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at_checked(digits).unwrap_or(("", text));
    if number.is_empty() {
        return Err("does not start with a number");
    }
    if rest.starts_with(['.', ',']) {
        return Err("is not a whole number; use a smaller unit");
    }
    let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, after) = rest.split_at_checked(unit).unwrap_or((rest, ""));
    Ok((number, unit, after))
}

/// `30`, or `1h30`: the parts before it are part of what to write.
fn no_unit(shown: &str, text: &str, number: &str, is_last: bool) -> String {
    if text == number {
        return format!("`{shown}` has no unit; {number} seconds are `{number}s`");
    }
    let seconds = format!("{}s", text.trim_end());
    match is_last && parse_duration(&seconds).is_ok() {
        true => format!("`{shown}` ends without a unit; for seconds write `{seconds}`"),
        false => format!("`{shown}` has no unit after {number}"),
    }
}

/// `; write `1h30m``: the whole duration with the units that are meant, if that makes one.
fn instead(text: &str) -> String {
    let mut whole = String::new();
    let mut rest = text;
    while let Ok((number, unit, after)) = split(rest) {
        let Some(unit) = meant_time(unit.trim()) else { return String::new() };
        whole.push_str(number);
        whole.push_str(unit);
        rest = after;
    }
    match parse_duration(&whole) {
        Ok(_) if rest.is_empty() => format!("; write `{whole}`"),
        _ => String::new(),
    }
}

fn meant_time(unit: &str) -> Option<&'static str> {
    let lower = unit.to_ascii_lowercase();
    match lower.as_str() {
        "sec" | "secs" | "second" | "seconds" => Some("s"),
        "min" | "mins" | "minute" | "minutes" => Some("m"),
        "hour" | "hours" | "hr" | "hrs" => Some("h"),
        "day" | "days" => Some("d"),
        "week" | "weeks" => Some("w"),
        "year" | "years" => Some("y"),
        "msec" | "msecs" | "millisecond" | "milliseconds" => Some("ms"),
        lower => TIMES.iter().find(|(name, _)| *name == lower).map(|(name, _)| *name),
    }
}

fn unknown_size(shown: &str, number: &str, unit: &str) -> String {
    let first = unit.bytes().next().map(|byte| byte.to_ascii_uppercase());
    let like_a_size = matches!(unit.to_ascii_lowercase().get(1..), Some("" | "b" | "ib"));
    let meant = SIZES.iter().find(|(name, _)| name.bytes().next() == first && like_a_size);
    match meant {
        Some((name, _)) => format!("`{shown}` has an unknown unit; write `{number}{name}`"),
        None => format!("`{shown}` has an unknown unit"),
    }
}

/// A message should not carry a page.
pub(super) fn shorten(text: &str) -> String {
    const LONGEST: usize = 40;
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    text.chars().take(LONGEST - 1).chain(std::iter::once('…')).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_and_refused() {
        let rows: &[(&str, Result<u64, &str>)] = &[
            ("0", Ok(0)),
            ("0s", Ok(0)),
            ("250ms", Ok(250)),
            ("10s", Ok(10_000)),
            ("10m", Ok(600_000)),
            ("1h", Ok(3_600_000)),
            ("30d", Ok(2_592_000_000)),
            ("2w", Ok(1_209_600_000)),
            ("1h30m", Ok(5_400_000)),
            ("1m500ms", Ok(60_500)),
            ("1h 30m", Ok(5_400_000)),
            ("1d  2h 3m4s", Ok(93_784_000)),
            ("36500d", Ok(LONGEST)),
            ("36501d", Err("`36501d` is longer than 100 years")),
            ("99999999999999999999s", Err("`99999999999999999999s` is longer than 100 years")),
            ("30 parsecs", Err("`30 parsecs` has an unknown unit")),
            ("30S", Err("`30S` has an unknown unit; write `30s`")),
            ("5min", Err("`5min` has an unknown unit; write `5m`")),
            ("1y", Ok(365 * 86_400_000)),
            ("1y 2d", Ok(367 * 86_400_000)),
            ("101y", Err("`101y` is longer than 100 years")),
            ("1 year", Err("`1 year` has an unknown unit; write `1y`")),
            ("30 s", Err("`30 s` has a space; write `30s`")),
            ("30", Err("`30` has no unit; 30 seconds are `30s`")),
            ("1h30", Err("`1h30` ends without a unit; for seconds write `1h30s`")),
            ("1h 30", Err("`1h 30` ends without a unit; for seconds write `1h 30s`")),
            ("1s30", Err("`1s30` has no unit after 30")),
            ("1 2h", Err("`1 2h` has no unit after 1")),
            ("1h\t30m", Err("`1h\t30m` has an unknown unit; write `1h30m`")),
            ("1 h 30 m", Err("`1 h 30 m` has a space; write `1h30m`")),
            ("1h 30 m", Err("`1h 30 m` has a space; write `1h30m`")),
            ("1h30m ", Err("`1h30m ` has a space; write `1h30m`")),
            ("1H 30min", Err("`1H 30min` has an unknown unit; write `1h30m`")),
            ("1 hour 30 parsecs", Err("`1 hour 30 parsecs` has an unknown unit")),
            ("1 min 1 hour", Err("`1 min 1 hour` has an unknown unit")),
            ("1h, 30m", Err("`1h, 30m` has an unknown unit")),
            ("1.5h", Err("`1.5h` is not a whole number; use a smaller unit")),
            ("-1s", Err("`-1s` is negative")),
            ("30m1h", Err("`30m1h` must name each unit once, the longest first")),
            ("1s1s", Err("`1s1s` must name each unit once, the longest first")),
            ("", Err("`` is empty")),
            ("s", Err("`s` does not start with a number")),
            ("forever", Err("`forever` does not start with a number")),
            ("１s", Err("`１s` does not start with a number")),
        ];
        for (text, expected) in rows {
            let expected = expected.map(Duration::from_millis).map_err(str::to_owned);
            assert_eq!(parse_duration(text), expected, "{text}");
        }
    }

    #[test]
    fn sizes_are_read_and_refused() {
        let rows: &[(&str, Result<u64, &str>)] = &[
            ("0", Ok(0)),
            ("100B", Ok(100)),
            ("64KiB", Ok(64 << 10)),
            ("10MiB", Ok(10 << 20)),
            ("50GiB", Ok(50 << 30)),
            ("2TiB", Ok(2 << 40)),
            ("100", Err("`100` has no unit; 100 bytes are `100B`")),
            ("10MB", Err("`10MB` has an unknown unit; write `10MiB`")),
            ("10GB", Err("`10GB` has an unknown unit; write `10GiB`")),
            ("10mib", Err("`10mib` has an unknown unit; write `10MiB`")),
            ("10k", Err("`10k` has an unknown unit; write `10KiB`")),
            ("10 MiB", Err("`10 MiB` has a space; write `10MiB`")),
            ("1GiB5MiB", Err("`1GiB5MiB` is more than one number and its unit")),
            ("1 GB 5 MB", Err("`1 GB 5 MB` is more than one number and its unit")),
            ("10MiB ", Err("`10MiB ` has a space; write `10MiB`")),
            ("10 parsecs", Err("`10 parsecs` has an unknown unit")),
            ("1.5GiB", Err("`1.5GiB` is not a whole number; use a smaller unit")),
            ("99999999TiB", Err("`99999999TiB` is too large")),
            ("-1B", Err("`-1B` is negative")),
            ("big", Err("`big` does not start with a number")),
        ];
        for (text, expected) in rows {
            assert_eq!(parse_size(text), expected.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn whole_numbers_keep_their_range() {
        let rows: &[(&str, Result<u64, &str>)] = &[
            ("1", Ok(1)),
            ("65535", Ok(65535)),
            ("0", Err("`0` is too small")),
            ("65536", Err("`65536` is too large")),
            ("99999999999999999999999", Err("`99999999999999999999999` is too large")),
            ("-1", Err("`-1` is negative")),
            ("1.5", Err("`1.5` is not a whole number")),
            ("0x10", Err("`0x10` is not a whole number")),
            ("", Err("`` is not a whole number")),
            ("-", Err("`-` is not a whole number")),
        ];
        for (text, expected) in rows {
            assert_eq!(parse_integer(text, 1, 65535), expected.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn a_message_does_not_carry_a_page() {
        let long = parse_duration(&"x".repeat(10_000)).unwrap_err();
        assert!(long.chars().count() < 100, "{long}");
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "\\PC{0,12}|[0-9]{1,22}(ms|[smhdwyBKMGTi ]){0,4}") {
            let _ = parse_duration(&text);
            let _ = parse_size(&text);
            let _ = parse_integer(&text, 0, 100);
        }

        #[test]
        fn what_is_shown_is_read_again(milliseconds in 0..LONGEST, bytes: u64) {
            let duration = Duration::from_millis(milliseconds);
            prop_assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
            prop_assert_eq!(parse_size(&show_size(bytes)), Ok(bytes));
        }
    }
}
