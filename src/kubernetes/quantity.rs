//! Amounts as Kubernetes writes them: `500m`, `0.8Gi`, `2`.

use std::fmt;
use std::str::FromStr;

/// A non-negative amount, exact to a billionth; whatever is finer is rounded up, as Kubernetes does.
///
/// Equal amounts are equal however they were written: `500m` is `0.5`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity {
    /// Billionths.
    nano: u128,
}

/// Why a text is no [`Quantity`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not a number with one of the known suffixes.
    #[error("not an amount such as 500m, 2 or 1Gi")]
    Form,
    /// Below zero.
    #[error("negative")]
    Negative,
    /// More than can be counted here, or written with more digits than any real amount.
    #[error("too large, or with too many digits")]
    Range,
}

const NANO_PER_ONE: u128 = 1_000_000_000;
const NANO_PER_MILLI: u128 = 1_000_000;

impl Quantity {
    /// So many billionths.
    pub const fn from_nano(nano: u128) -> Self {
        Self { nano }
    }

    /// So many thousandths.
    pub const fn from_milli(milli: u32) -> Self {
        Self { nano: milli as u128 * NANO_PER_MILLI }
    }

    /// So many wholes.
    pub const fn from_whole(whole: u64) -> Self {
        Self { nano: whole as u128 * NANO_PER_ONE }
    }

    /// The next whole amount, for what cannot be divided, such as bytes.
    #[must_use]
    pub const fn rounded_up(self) -> Self {
        Self { nano: self.nano.div_ceil(NANO_PER_ONE) * NANO_PER_ONE }
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let suffix_at = unsigned.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(suffix_at);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(QuantityError::Form);
        }
        let unit = Unit::of(suffix).ok_or(QuantityError::Form)?;
        let amount = unit.nano(whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let nano = amount.ok_or(QuantityError::Range)?;
        if text.starts_with('-') && nano != 0 {
            return Err(QuantityError::Negative);
        }
        Ok(Self { nano })
    }
}

/// What a suffix multiplies a number with: a factor times a power of ten.
struct Unit {
    factor: u128,
    ten_to: i32,
}

impl Unit {
    fn of(suffix: &str) -> Option<Self> {
        let decimal = |ten_to| Some(Self { factor: 1, ten_to });
        let binary = |two_to: u32| Some(Self { factor: 1 << two_to, ten_to: 0 });
        match suffix {
            "n" => decimal(-9),
            "u" => decimal(-6),
            "m" => decimal(-3),
            "" => decimal(0),
            "k" => decimal(3),
            "M" => decimal(6),
            "G" => decimal(9),
            "T" => decimal(12),
            "P" => decimal(15),
            "E" => decimal(18),
            "Ki" => binary(10),
            "Mi" => binary(20),
            "Gi" => binary(30),
            "Ti" => binary(40),
            "Pi" => binary(50),
            "Ei" => binary(60),
            _ => {
                let exponent = suffix.strip_prefix(['e', 'E'])?;
                // A sign alone, or a second one, is no number to the parser either.
                let ten_to: i32 = exponent.parse().ok().filter(|power: &i32| power.abs() <= 100)?;
                decimal(ten_to)
            }
        }
    }

    /// The billionths of `whole.fraction` of this unit, rounded up. `None` if they cannot be counted.
    fn nano(&self, whole: &str, fraction: &str) -> Option<u128> {
        let digits = format!("{whole}{fraction}");
        let digits = digits.trim_start_matches('0');
        if digits.is_empty() {
            return Some(0);
        }
        let places = i32::try_from(fraction.len()).ok()?;
        let shift = self.ten_to.checked_add(9)?.checked_sub(places)?;
        let mantissa = digits.parse::<u128>().ok()?.checked_mul(self.factor)?;
        let power = shift.unsigned_abs();
        if shift >= 0 {
            mantissa.checked_mul(10_u128.checked_pow(power)?)
        } else {
            // Dividing by more than can be counted leaves a part of a billionth.
            Some(10_u128.checked_pow(power).map_or(1, |divisor| mantissa.div_ceil(divisor)))
        }
    }
}

/// A plain decimal with at most three places, rounded up, without zeros at its end: how limits are written.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milli = self.nano.div_ceil(NANO_PER_MILLI);
        let (whole, places) = (milli / 1000, milli % 1000);
        if places == 0 {
            return write!(f, "{whole}");
        }
        let places = format!("{places:03}");
        write!(f, "{whole}.{}", places.trim_end_matches('0'))
    }
}

impl fmt::Debug for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> Quantity {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn every_suffix_counts() {
        let same = [
            ("500m", "0.5"),
            ("1Gi", "1073741824"),
            ("1e3", "1k"),
            ("1E3", "1000"),
            ("1E", "1000000000000000000"),
            ("12e-1", "1.2"),
            ("+2", "2."),
            (".5", "0.50"),
            ("1500000u", "1.5"),
            ("2000000000n", "2"),
            ("1Ei", "1152921504606846976"),
            ("-0", "0"),
            ("0e-100", "0"),
            ("3T", "3000G"),
            ("1Pi", "1024Ti"),
        ];
        for (one, other) in same {
            assert_eq!(of(one), of(other), "{one} {other}");
        }
        assert!(of("1Ki") > of("1k") && of("999m") < of("1"));
    }

    #[test]
    fn what_is_no_amount_says_why() {
        let error = |text: &str| text.parse::<Quantity>().unwrap_err();
        for text in
            ["", ".", "-", "m", "1,5", "1.2.3", "1 Gi", "Gi", "1gi", "0x10", "1e", "1e+-3", "١", "1K", "+-1"]
        {
            assert_eq!(error(text), QuantityError::Form, "{text:?}");
        }
        assert_eq!(error("-1Mi"), QuantityError::Negative);
        assert_eq!(error("1e99"), QuantityError::Range);
        assert_eq!(error(&"9".repeat(60)), QuantityError::Range);
        assert_eq!(error("1e1000"), QuantityError::Form);
    }

    #[test]
    fn what_is_finer_than_counted_is_rounded_up() {
        assert_eq!(of("1e-100"), Quantity::from_nano(1));
        assert_eq!(of("0.0000000001"), Quantity::from_nano(1));
        assert_eq!(of("0.8Gi").rounded_up(), Quantity::from_whole(858_993_460));
        assert_eq!(of("0.0001").to_string(), "0.001");
        assert_eq!(of("1.2345").to_string(), "1.235");
        assert_eq!(of("1.10").to_string(), "1.1");
    }

    proptest! {
        #[test]
        fn a_written_amount_reads_back_as_itself_to_a_thousandth(milli in any::<u64>()) {
            let quantity = Quantity::from_nano(u128::from(milli) * NANO_PER_MILLI);
            prop_assert_eq!(of(&quantity.to_string()), quantity);
            prop_assert_eq!(of(&format!("{milli}m")), quantity);
        }

        #[test]
        fn order_is_that_of_numbers(a in 0_u64..1 << 50, b in 0_u64..1 << 50, units in 0_usize..5) {
            let unit = ["m", "", "k", "Mi", "e2"][units];
            prop_assert_eq!(of(&format!("{a}{unit}")).cmp(&of(&format!("{b}{unit}"))), a.cmp(&b));
        }

        #[test]
        fn any_text_is_judged_without_a_panic(text in "\\PC{0,40}", number in "[+-]?[0-9.]{0,50}[A-Za-z0-9+-]{0,5}") {
            let _ = (text.parse::<Quantity>(), number.parse::<Quantity>());
        }
    }
}
