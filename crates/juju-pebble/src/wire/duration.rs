//! Durations in the notation of Go, which Pebble uses everywhere.

use std::time::Duration;

/// Text that Pebble reads as this duration, to the microsecond.
pub(crate) fn to_go(duration: Duration) -> String {
    // Go counts nanoseconds in 63 bits; what does not fit is as good as forever.
    let micros = duration.as_micros().min(i64::MAX as u128 / 1000);
    format!("{micros}us")
}

/// Nanoseconds of a Go duration such as `1h2m3.5s`; `None` when it is none.
pub(crate) fn from_go(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() {
        return None;
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (digits, tail) = rest.split_at(number);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        total = total.checked_add(scaled(digits, nanos_in(unit)?)?)?;
        rest = tail;
    }
    Some(total)
}

fn nanos_in(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        // Both the micro sign and the Greek letter.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// `digits` (with at most one point) times `unit`, without going through a float.
fn scaled(digits: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut total = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()?.checked_mul(unit)? };
    let mut place = unit;
    for digit in fraction.chars() {
        place /= 10;
        total = total.checked_add(place.checked_mul(u64::from(digit.to_digit(10)?))?)?;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{from_go, to_go};

    #[test]
    fn reads_what_go_writes() {
        let cases = [
            ("500ms", Some(500_000_000)),
            ("1m0s", Some(60_000_000_000)),
            ("60s", Some(60_000_000_000)),
            ("1h2m3.5s", Some(3_723_500_000_000)),
            ("1.5us", Some(1_500)),
            ("0", Some(0)),
            ("0s", Some(0)),
            (".5s", Some(500_000_000)),
            ("", None),
            ("4", None),
            ("s", None),
            (".s", None),
            ("1.2.3s", None),
            ("5 s", None),
            ("-1s", None),
            ("99999999999999999999s", None),
            ("9999999h", None),
        ];
        for (text, expected) in cases {
            assert_eq!(from_go(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "\\PC*") {
            let _ = from_go(&text);
        }

        #[test]
        fn what_is_written_is_read(micros in 0..u64::MAX / 2000) {
            prop_assert_eq!(from_go(&to_go(Duration::from_micros(micros))), Some(micros * 1000));
        }
    }
}
