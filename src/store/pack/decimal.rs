//! Numbers as the decimals they were sent as.
//!
//! A sensor says 21.37, and the number in memory is the closest one to that. The integer 2137 and the
//! exponent 2 lead back to the same bits, because a quotient is rounded as a decimal is when it is
//! parsed: to the closest number. The integers are small, and so are the differences between them.

use super::bytes::{Reader, Writer, unzigzag, zigzag};
use super::error::{Fault, PackError};

/// Most digits behind the point.
pub(super) const EXPONENT_MAX: usize = 6;

/// Largest mantissa, of either sign.
///
/// A number and its product with a power of ten are each off by at most a 2^53rd, so below this bound
/// the product is less than a half away from the mantissa, and rounding finds it.
const MANTISSA_MAX: i64 = (1 << 51) - 1;

const POWERS: [f64; EXPONENT_MAX + 1] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6];

/// `mantissa / 10^exponent`.
#[expect(
    clippy::cast_precision_loss,
    reason = "mantissas that were written have no more bits than a float; others are of damaged bytes"
)]
#[inline]
pub(super) fn number(mantissa: i64, exponent: usize) -> f64 {
    mantissa as f64 / POWERS[exponent]
}

/// The closest integer to `number * 10^exponent`.
#[expect(
    clippy::cast_possible_truncation,
    reason = "what is beyond an integer becomes its bound, which is no mantissa"
)]
#[inline]
pub(super) fn rounded(number: f64, exponent: usize) -> i64 {
    let scaled = number * POWERS[exponent];
    // Not `round`, which is a call on processors without an instruction for it.
    (scaled + 0.5_f64.copysign(scaled)) as i64
}

/// The mantissa that leads back to `number`, bit for bit; there is none for -0.0.
#[inline]
fn mantissa(number: f64, exponent: usize) -> Option<i64> {
    let mantissa = rounded(number, exponent);
    let small = mantissa.unsigned_abs() <= MANTISSA_MAX.unsigned_abs();
    let exact = self::number(mantissa, exponent).to_bits() == number.to_bits();
    (small && exact).then_some(mantissa)
}

/// The smallest exponent with which each of `numbers` is a decimal; `None` when there is none.
pub(super) fn common_exponent(numbers: impl Iterator<Item = f64>) -> Option<usize> {
    let mut exponent = 0;
    let mut largest = 0.0_f64;
    for number in numbers {
        // What is exact with an exponent is exact with every larger one: the quotient is the same.
        while mantissa(number, exponent).is_none() {
            exponent += 1;
            if exponent > EXPONENT_MAX {
                return None;
            }
        }
        largest = largest.max(number.abs());
    }
    // Only the mantissas of earlier numbers may have become too large.
    mantissa(largest, exponent).map(|_| exponent)
}

/// Stands where an exponent would, and says that all bits of the numbers follow.
pub(super) const RAW: u8 = 7;
const EXPONENT_BITS: u32 = 3;

/// Writes a number on its own: the mantissa and, in the lowest bits, the smallest exponent.
#[inline]
pub(super) fn write(out: &mut Writer, number: f64) {
    for exponent in 0..=EXPONENT_MAX {
        if let Some(mantissa) = mantissa(number, exponent) {
            out.unsigned(zigzag(mantissa) << EXPONENT_BITS | exponent as u64);
            return;
        }
    }
    out.byte(RAW);
    out.raw(number);
}

/// Reads what [`write()`] wrote.
#[inline]
pub(super) fn read(reader: &mut Reader<'_>) -> Result<f64, PackError> {
    let packed = reader.unsigned()?;
    let exponent = packed.to_le_bytes()[0] & RAW;
    if exponent == RAW {
        return match packed >> EXPONENT_BITS {
            0 => reader.raw(),
            _ => Err(reader.error(Fault::Marker)),
        };
    }
    let mantissa = unzigzag(packed >> EXPONENT_BITS);
    Ok(number(mantissa, exponent.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What [`common_exponent`] finds for one number; it must lead back to it.
    fn found_exponent(number: f64) -> Option<usize> {
        let exponent = common_exponent([number].into_iter())?;
        let back = super::number(rounded(number, exponent), exponent);
        assert_eq!(back.to_bits(), number.to_bits(), "{number}");
        Some(exponent)
    }

    fn written(number: f64) -> usize {
        let mut out = Writer::new(1, 0);
        write(&mut out, number);
        let bytes = out.finish();
        let mut reader = Reader::new(&bytes, 1).unwrap();
        let back = read(&mut reader).unwrap();
        assert_eq!(back.to_bits(), number.to_bits(), "{number}");
        reader.finish().unwrap();
        bytes.len() - 1
    }

    #[test]
    fn the_smallest_exponent_is_found() {
        for (number, expected) in [
            (0.0, Some(0)),
            (612.0, Some(0)),
            (1200.0, Some(0)),
            (-21.5, Some(1)),
            (21.37, Some(2)),
            (0.000_001, Some(6)),
            (0.000_000_1, None),
            (1.0 / 3.0, None),
            (-0.0, None),
            (5e-324, None),
            (f64::MAX, None),
            (f64::MIN, None),
            (0.1 + 0.2, None),
            (2_251_799_813_685_247.0, Some(0)),
            (2_251_799_813_685_248.0, None),
        ] {
            assert_eq!(found_exponent(number), expected, "{number}");
        }
    }

    #[test]
    fn the_exponent_of_several_is_that_of_the_most_digits() {
        let common = |numbers: &[f64]| common_exponent(numbers.iter().copied());
        assert_eq!(common(&[]), Some(0));
        assert_eq!(common(&[21.37, 21.4, 21.0]), Some(2));
        assert_eq!(common(&[21.37, 1.0 / 3.0]), None);
        // Each alone is a decimal, but with six digits behind the point the first is too long.
        assert_eq!(common(&[2_251_799_813_685_247.0, 0.000_001]), None);
        assert_eq!(common(&[-2_251_799_813_685_247.0, 0.000_001]), None);
    }

    #[test]
    fn numbers_take_few_bytes() {
        for (number, length) in [(7.0, 1), (612.0, 2), (21.37, 3), (1013.25, 3), (-0.0, 9)] {
            assert_eq!(written(number), length, "{number}");
        }
    }

    proptest! {
        #[test]
        fn every_number_comes_back(number in prop_oneof![any::<f64>(), -1e6..1e6]) {
            prop_assume!(number.is_finite());
            written(number);
            found_exponent(number);
        }

        #[test]
        fn every_decimal_is_known_as_one(
            mantissa in -MANTISSA_MAX..=MANTISSA_MAX,
            bits in 0..51_u32,
            exponent in 0..=EXPONENT_MAX,
        ) {
            let mantissa = mantissa >> bits;
            // The text is read by the standard library, which knows nothing of mantissas here.
            let number: f64 = format!("{mantissa}e-{exponent}").parse().unwrap();
            let found = found_exponent(number);
            prop_assert!(found.is_some_and(|found| found <= exponent), "{} {:?}", number, found);
            let shorter = (0..found.unwrap()).find(|shorter| {
                let digits = format!("{number:.shorter$}");
                digits.parse::<f64>().unwrap().to_bits() == number.to_bits()
            });
            prop_assert_eq!(shorter, None, "{} has fewer digits", number);
        }
    }
}
