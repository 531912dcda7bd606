//! Decimals that stay text: checked once, stored inline, passed on byte for byte.

use std::cmp::Ordering;
use std::fmt;

use rust_decimal::Decimal;

use super::TradeError;

/// What `rust_decimal` holds exactly whatever the digits are.
const MAX_DIGITS: usize = 28;
/// `0.` and 28 decimals is the longest text.
const MAX_BYTES: usize = MAX_DIGITS + 2;

/// Digits, and at most one point between digits; above zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct DecimalText {
    len: u8,
    bytes: [u8; MAX_BYTES],
}

impl DecimalText {
    fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if !is_decimal_text(bytes) {
            return None;
        }
        let mut inline = [0; MAX_BYTES];
        inline[..bytes.len()].copy_from_slice(bytes);
        Some(Self { len: u8::try_from(bytes.len()).ok()?, bytes: inline })
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    fn as_str(&self) -> &str {
        // Only ASCII gets past `parse`.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

/// Whether a text would be taken as a price or a quantity. An audit asks it of every trade of a day.
pub fn is_decimal_text(bytes: &[u8]) -> bool {
    if bytes.len() > MAX_BYTES {
        return false;
    }
    let zeros = |bytes: &[u8]| bytes.iter().take_while(|byte| **byte == b'0').count();
    let is_digits = |bytes: &[u8]| bytes.iter().all(u8::is_ascii_digit);
    let point = bytes.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = point.map_or((bytes, None), |at| (&bytes[..at], Some(&bytes[at + 1..])));
    let is_well_formed = !whole.is_empty() && fraction.is_none_or(|fraction| !fraction.is_empty());
    let fraction = fraction.unwrap_or_default();
    if !is_well_formed || !is_digits(whole) || !is_digits(fraction) || fraction.len() > MAX_DIGITS {
        return false;
    }
    let leading = zeros(whole);
    let leading = if leading == whole.len() { leading + zeros(fraction) } else { leading };
    let digits = whole.len() + fraction.len() - leading;
    (1..=MAX_DIGITS).contains(&digits)
}

/// Compares numbers by their texts, exactly and by value: `5.0` is `5.00`. For texts that were taken as a price or quantity.
///
/// A minute may have ten thousand prices, and to make a `Decimal` of each costs more than to compare them.
pub fn compare_texts(one: &[u8], other: &[u8]) -> Ordering {
    let point = |text: &[u8]| text.iter().position(|byte| *byte == b'.').unwrap_or(text.len());
    let (one_point, other_point) = (point(one), point(other));
    if one.len() == other.len() && one_point == other_point {
        return one.cmp(other);
    }
    let ((one, one_fraction), (other, other_fraction)) = (digits(one, one_point), digits(other, other_point));
    one.len().cmp(&other.len()).then_with(|| one.cmp(other)).then_with(|| one_fraction.cmp(other_fraction))
}

/// The digits before and behind the point, without the zeros that say nothing.
fn digits(text: &[u8], point: usize) -> (&[u8], &[u8]) {
    let (whole, fraction) = (&text[..point], text.get(point + 1..).unwrap_or_default());
    let leading = whole.iter().take_while(|byte| **byte == b'0').count();
    let trailing = fraction.iter().rev().take_while(|byte| **byte == b'0').count();
    (&whole[leading..], &fraction[..fraction.len() - trailing])
}

macro_rules! decimal_text {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name(DecimalText);

        impl $name {
            /// Checks and keeps the text.
            ///
            /// # Errors
            ///
            /// [`TradeError::Number`] for a sign, an exponent, a missing digit, zero, or more
            /// than 28 significant digits.
            pub fn new(text: &str) -> Result<Self, TradeError> {
                let number = || TradeError::Number { what: $what, text: text.to_owned() };
                DecimalText::parse(text).map(Self).ok_or_else(number)
            }

            /// The exchange's text.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }

            /// The exchange's text as ASCII bytes.
            pub fn as_bytes(&self) -> &[u8] {
                self.0.as_bytes()
            }

            /// The exact value.
            pub fn to_decimal(&self) -> Decimal {
                // `parse` admits only what `Decimal` holds exactly.
                Decimal::from_str_exact(self.as_str()).unwrap_or_default()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.as_str())
            }
        }
    };
}

decimal_text!(
    /// A price in the quote asset, as the exchange wrote it.
    Price,
    "price"
);
decimal_text!(
    /// A quantity of the base asset, as the exchange wrote it.
    Quantity,
    "quantity"
);
