//! Sizes as people write them: `512MiB`, `1GiB`, `4096`.

use std::str::FromStr;

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub u64);

/// What is no size.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a size: write a whole number with B, KiB, MiB, GiB or TiB, such as 512MiB")]
pub struct SizeError(String);

const UNITS: [(&str, u32); 5] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];

impl FromStr for ByteSize {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let error = || SizeError(text.to_owned());
        let unit = UNITS.iter().find_map(|(name, shift)| Some((text.strip_suffix(name)?, *shift)));
        let (digits, shift) = unit.unwrap_or((text, 0));
        let number: u64 = digits.trim().parse().map_err(|_| error())?;
        number.checked_mul(1 << shift).map(ByteSize).ok_or_else(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units() {
        for (text, bytes) in
            [("512MiB", 512 << 20), ("1GiB", 1 << 30), ("4096", 4096), ("7 B", 7), ("2KiB", 2048)]
        {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for text in ["", "MiB", "1.5GiB", "1MB", "-1KiB", "99999999TiB", "1 parsec"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }
}
