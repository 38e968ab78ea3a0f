//! Amounts of resources, written as the server writes them back.

/// An amount: thousand-millionths of a unit, rounded up, and the family of its suffix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quantity {
    nanos: i128,
    family: Family,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Decimal,
    Exponent,
    Binary,
}

const NANO: i128 = 1_000_000_000;
/// Suffixes of powers of ten, from 10^-9 on in steps of a thousand.
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

impl Quantity {
    /// Reads an amount; `None` if it is not one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        // More digits than these are beyond what any machine has.
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || number.len() > 24 {
            return None;
        }
        let digits: i128 = format!("0{whole}{fraction}").parse().ok()?;
        let below = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let (factor, divisor, family) = if let Some(power) = BINARY.iter().skip(1).position(|s| *s == suffix)
        {
            (NANO.checked_mul(1024_i128.checked_pow(u32::try_from(power).ok()? + 1)?)?, below, Family::Binary)
        } else if let Some(step) = DECIMAL.iter().position(|s| *s == suffix) {
            (1000_i128.checked_pow(u32::try_from(step).ok()?)?, below, Family::Decimal)
        } else {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
            if exponent < 0 {
                (NANO, below.checked_mul(power)?, Family::Exponent)
            } else {
                (NANO.checked_mul(power)?, below, Family::Exponent)
            }
        };
        let product = digits.checked_mul(factor)?;
        let nanos = product / divisor + i128::from(product % divisor != 0);
        Some(Self { nanos: if negative { -nanos } else { nanos }, family })
    }

    /// The form in which the server keeps it.
    pub(super) fn canonical(self) -> String {
        let (sign, nanos) = if self.nanos < 0 { ("-", -self.nanos) } else { ("", self.nanos) };
        if nanos == 0 {
            return "0".to_owned();
        }
        if self.family == Family::Binary && nanos >= 1024 * NANO {
            let mut units = nanos / NANO + i128::from(nanos % NANO != 0);
            let mut step = 0;
            while units % 1024 == 0 && step + 1 < BINARY.len() {
                units /= 1024;
                step += 1;
            }
            return format!("{sign}{units}{}", BINARY[step]);
        }
        let mut amount = nanos;
        let mut step = 0;
        while amount % 1000 == 0 && step + 1 < DECIMAL.len() {
            amount /= 1000;
            step += 1;
        }
        if self.family == Family::Exponent && step != 3 {
            let exponent = 3 * i64::try_from(step).unwrap_or_default() - 9;
            return format!("{sign}{amount}e{exponent}");
        }
        format!("{sign}{amount}{}", DECIMAL[step])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_come_back_in_the_shortest_form_of_their_family() {
        for (text, kept) in [
            ("0.5", "500m"),
            ("0.05", "50m"),
            ("1000m", "1"),
            ("1073741824", "1073741824"),
            ("104857600", "104857600"),
            ("2000", "2k"),
            ("100Mi", "100Mi"),
            ("1024Mi", "1Gi"),
            ("0.8Gi", "858993460"),
            ("0.5Ki", "512"),
            ("1e3", "1e3"),
            ("+1", "1"),
            ("-1", "-1"),
            ("0", "0"),
            ("1n", "1n"),
            (".5", "500m"),
            ("1.", "1"),
        ] {
            assert_eq!(Quantity::parse(text).map(Quantity::canonical).as_deref(), Some(kept), "{text}");
        }
        for bad in ["", "m", "1Kb", "1.2.3", "one", "1 ", "-", "1e", "1ee3", "."] {
            assert_eq!(Quantity::parse(bad), None, "{bad}");
        }
    }
}
