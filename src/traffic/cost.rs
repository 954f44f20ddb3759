//! Sums of amounts. Many attempts may add up to more than one account can hold.

use std::fmt;
use std::ops::AddAssign;

use crate::domain::amount::{MICROS_PER_UNIT, Micros};

/// Micro-units, with a sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Sum(pub i128);

impl AddAssign<Micros> for Sum {
    /// 10^15 times the attempts of all time is far below what 128 bits hold.
    fn add_assign(&mut self, amount: Micros) {
        self.0 += i128::from(amount.get());
    }
}

impl AddAssign for Sum {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl Sum {
    /// What this is above another.
    pub fn above(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = i128::from(MICROS_PER_UNIT);
        let (whole, rest) = (self.0.abs() / unit, self.0.abs() % unit);
        let sign = if self.0 < 0 { "-" } else { "" };
        if rest == 0 {
            return f.pad(&format!("{sign}{whole}"));
        }
        f.pad(format!("{sign}{whole}.{rest:06}").trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_shown_as_a_plain_decimal() {
        for (micros, expected) in [(0, "0"), (1, "0.000001"), (-1_650_000, "-1.65"), (20_000_000, "20"), (-5, "-0.000005")] {
            assert_eq!(Sum(micros).to_string(), expected);
        }
    }
}
