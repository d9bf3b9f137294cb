//! Ages and sizes, as people write them.

use std::time::Duration;

/// How long ago: `30d`, `2w`, `12h`, `1h30m`, `1d 12h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Age(pub(super) Duration);

/// Units of time in nanoseconds, as docker and Go write them, and people those above an hour.
const UNITS: [(&[&str], u128); 9] = [
    (&["ns"], 1),
    (&["us", "µs", "μs"], 1_000),
    (&["ms"], 1_000_000),
    (&["s", "sec", "second"], SECOND),
    (&["m", "min", "minute"], 60 * SECOND),
    (&["h", "hr", "hour"], 3600 * SECOND),
    (&["d", "day"], 86_400 * SECOND),
    (&["w", "wk", "week"], 7 * 86_400 * SECOND),
    (&["y", "yr", "year"], 365 * 86_400 * SECOND),
];
const SECOND: u128 = 1_000_000_000;

/// Reads an age: numbers with units behind them. A year has 365 days.
pub(super) fn age(text: &str) -> Result<Age, String> {
    let units = "units are y (365 days), w, d, h, m (minutes), s and ms; write 30d, 2w, 12h or 1h30m";
    let (mut left, mut sum) = (text.trim(), 0u128);
    if left.is_empty() || left.starts_with('-') {
        return Err(format!("`{text}` is no age: {units}"));
    }
    while !left.is_empty() {
        let end = left.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(left.len());
        let (number, rest) = left.split_at(end);
        let rest = rest.trim_start();
        let end = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
        let (unit, rest) = rest.split_at(end);
        let known = |names: &[&str]| names.iter().any(|name| unit == *name || unit.strip_suffix('s') == Some(name));
        let Some((_, nanoseconds)) = UNITS.iter().find(|(names, _)| known(names)) else {
            return Err(match (number, unit) {
                ("", _) => format!("`{text}` is no age: `{left}` does not begin with a number; {units}"),
                (_, "") => format!("`{text}` is no age: there is no unit behind `{number}`; {units}"),
                _ => format!("`{text}` is no age: `{unit}` is no unit; {units}"),
            });
        };
        let wrong = || format!("`{text}` is no age: `{number}` is no number; {units}");
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let whole: u128 = if whole.is_empty() && !part.is_empty() { 0 } else { whole.parse().map_err(|_| wrong())? };
        let digits = part.get(..part.len().min(9)).ok_or_else(wrong)?;
        let part: u128 = if digits.is_empty() { 0 } else { digits.parse().map_err(|_| wrong())? };
        let part = part * nanoseconds / 10u128.pow(u32::try_from(digits.len()).unwrap_or_default());
        let long = || format!("`{text}` is longer than any time that alloy knows");
        let one = whole.checked_mul(*nanoseconds).and_then(|whole| whole.checked_add(part)).ok_or_else(long)?;
        sum = sum.checked_add(one).filter(|sum| *sum <= u128::from(u64::MAX)).ok_or_else(long)?;
        left = rest.trim_start();
    }
    Ok(Age(Duration::from_nanos(u64::try_from(sum).unwrap_or(u64::MAX))))
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
        for (text, milliseconds) in [
            ("30d", 30 * 86_400_000),
            ("2w", 14 * 86_400_000),
            ("1y", 365 * 86_400_000),
            ("12h", 43_200_000),
            ("1d 12h", 129_600_000),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("1h0m0.5s", 3_600_500),
            ("300ms", 300),
            ("2 weeks", 14 * 86_400_000),
            ("0s", 0),
        ] {
            assert_eq!(age(text).unwrap().0.as_millis(), milliseconds, "{text}");
        }
        for (bad, said) in [
            ("", "units are y (365 days)"),
            ("30", "there is no unit behind `30`"),
            ("-1d", "is no age"),
            ("soon", "does not begin with a number"),
            ("1mo", "`mo` is no unit; units are y (365 days), w, d, h"),
            ("1.2.3d", "`1.2.3` is no number"),
            ("1d-2h", "does not begin with a number"),
            ("9999999999999y", "longer than any time"),
        ] {
            let told = age(bad).unwrap_err();
            assert!(told.contains(said), "{bad}: {told}");
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
