//! Ages and sizes, as people write them.

use std::time::Duration;

use jiff::SpanRelativeTo;

/// How long ago: `30d`, `2w`, `12h`, `1d 12h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Age(pub(super) Duration);

/// Reads an age.
pub(super) fn age(text: &str) -> Result<Age, String> {
    let span: jiff::Span = text.parse().map_err(|error: jiff::Error| format!("{error}; write 30d, 2w or 12h"))?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|error| error.to_string())?;
    duration.try_into().map(Age).map_err(|_| "an age is not negative".to_owned())
}

/// Reads a size in bytes: `10GB`, `512MiB`, `1.5G`. A `K`, `M`, `G` or `T` alone is 1024 of the one before, `B` behind it
/// 1000.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no size: write 10GB, 512MiB or a number of bytes");
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..end], text[end..].trim().to_ascii_lowercase());
    let (prefix, base) = match unit.strip_suffix('b') {
        Some(unit) => unit.strip_suffix('i').map_or((unit, 1000), |prefix| (prefix, 1024)),
        None => (unit.strip_suffix('i').unwrap_or(&unit), 1024),
    };
    let power = ["", "k", "m", "g", "t"].iter().position(|known| *known == prefix).ok_or_else(wrong)?;
    let unit = u64::pow(base, u32::try_from(power).unwrap_or_default());
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = whole.parse().map_err(|_| wrong())?;
    let digits = part.get(..part.len().min(6)).unwrap_or_default();
    let part: u64 = if digits.is_empty() { 0 } else { digits.parse().map_err(|_| wrong())? };
    let part = u128::from(part) * u128::from(unit) / 10u128.pow(u32::try_from(digits.len()).unwrap_or_default());
    let part = u64::try_from(part).map_err(|_| wrong())?;
    whole.checked_mul(unit).and_then(|whole| whole.checked_add(part)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        for (text, seconds) in [("30d", 30 * 86_400), ("2w", 14 * 86_400), ("12h", 43_200), ("1d 12h", 129_600)] {
            assert_eq!(age(text).unwrap().0.as_secs(), seconds, "{text}");
        }
        for bad in ["", "30", "-1d", "soon"] {
            assert!(age(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("1B", 1),
            ("10KB", 10_000),
            ("1k", 1024),
            ("512MiB", 512 << 20),
            ("1.5G", 3 << 29),
            ("0.5 GB", 500_000_000),
            ("2T", 2 << 40),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "G", "1.2.3G", "-1", "1X", "1PB", "99999999999T", ".5G"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }
}
