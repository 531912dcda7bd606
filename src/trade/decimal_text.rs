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
        if bytes.is_empty() || bytes.len() > MAX_BYTES {
            return None;
        }
        let (mut point, mut leading_zeros, mut above_zero) = (None, 0, false);
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                b'0' if !above_zero => leading_zeros += 1,
                b'0'..=b'9' => above_zero = true,
                b'.' if point.is_none() => point = Some(at),
                _ => return None,
            }
        }
        let (whole, fraction) = match point {
            Some(at) => (at, bytes.len() - at - 1),
            None => (bytes.len(), 0),
        };
        let digits = whole + fraction - leading_zeros;
        let well_formed = whole > 0 && (point.is_none() || fraction > 0);
        if !well_formed || !above_zero || digits > MAX_DIGITS || fraction > MAX_DIGITS {
            return None;
        }
        let mut inline = [0; MAX_BYTES];
        inline[..bytes.len()].copy_from_slice(bytes);
        Some(Self { len: u8::try_from(bytes.len()).ok()?, bytes: inline })
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// By value; a minute may have ten thousand prices, and to make a `Decimal` of each costs more than this.
    fn compare(&self, other: &Self) -> Ordering {
        let ((whole, fraction), (other_whole, other_fraction)) = (self.parts(), other.parts());
        whole
            .len()
            .cmp(&other_whole.len())
            .then_with(|| whole.cmp(other_whole))
            .then_with(|| fraction.cmp(other_fraction))
    }

    /// The digits before and behind the point, without the zeros that say nothing.
    fn parts(&self) -> (&[u8], &[u8]) {
        let bytes = self.as_bytes();
        let point = bytes.iter().position(|byte| *byte == b'.').unwrap_or(bytes.len());
        let (whole, fraction) = (&bytes[..point], bytes.get(point + 1..).unwrap_or_default());
        let leading = whole.iter().take_while(|byte| **byte == b'0').count();
        let trailing = fraction.iter().rev().take_while(|byte| **byte == b'0').count();
        (&whole[leading..], &fraction[..fraction.len() - trailing])
    }

    fn as_str(&self) -> &str {
        // Only ASCII gets past `parse`.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
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

            /// Compares the exact values: `5.0` and `5.00` are equal here, and different texts.
            pub fn compare(&self, other: &Self) -> Ordering {
                self.0.compare(&other.0)
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
