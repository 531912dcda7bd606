//! One line of a daily file.

use super::name::Unit;
use crate::text::exactly;
use crate::trade::{Price, Quantity, TradeId, TradeTime};

/// The columns, as a header would name them.
pub const HEADER: &str = "id,price,qty,quoteQty,time,isBuyerMaker,isBestMatch";
/// Columns of a line.
const COLUMNS: usize = 7;

/// A trade as a daily file has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DumpTrade {
    /// The exchange's number of it.
    pub id: TradeId,
    /// When it happened, cut to the millisecond.
    pub time: TradeTime,
    /// The price's text.
    pub price: Price,
    /// The quantity's text.
    pub quantity: Quantity,
    /// Whether the quote quantity that the file has is price times quantity.
    pub is_quote_right: bool,
    /// Whether the taker sold.
    pub buyer_is_maker: bool,
}

/// Why a line is no trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadLine {
    /// The trade that it should be, if it says so much.
    pub id: Option<TradeId>,
    /// What is wrong with it.
    pub why: &'static str,
}

impl BadLine {
    /// A line of which not even the id can be read.
    pub const fn nameless(why: &'static str) -> Self {
        Self { id: None, why }
    }
}

/// Reads a line, without what ends it.
///
/// # Errors
///
/// [`BadLine`] if it is no trade. A line whose quote quantity is not price times quantity is one.
pub fn read_line(line: &[u8], unit: Unit) -> Result<DumpTrade, BadLine> {
    let columns = columns(line).ok_or(BadLine::nameless("it has not seven columns"))?;
    let [id, price, quantity, quote, time, maker, best] = columns;
    let id = number(id).and_then(|id| TradeId::new(id).ok()).ok_or(BadLine::nameless("its id is none"))?;
    let bad = |why| BadLine { id: Some(id), why };
    let price = text(price).and_then(|price| Price::new(price).ok()).ok_or(bad("its price is none"))?;
    let quantity = text(quantity).and_then(|text| Quantity::new(text).ok()).ok_or(bad("its quantity is none"))?;
    let quote = Number::read(quote).ok_or(bad("its quote quantity is no number"))?;
    let time = number(time).and_then(|time| unit.time(time)).ok_or(bad("its time is none"))?;
    let buyer_is_maker = boolean(maker).ok_or(bad("isBuyerMaker is neither True nor False"))?;
    boolean(best).ok_or(bad("isBestMatch is neither True nor False"))?;
    let is_quote_right = is_product(price.as_bytes(), quantity.as_bytes(), quote).unwrap_or(false);
    Ok(DumpTrade { id, time, price, quantity, is_quote_right, buyer_is_maker })
}

/// The columns of a line, if they are as many as there should be.
pub(super) fn columns(line: &[u8]) -> Option<[&[u8]; COLUMNS]> {
    exactly(line.split(|byte| *byte == b','))
}

/// A plain decimal, as its digits and how many of them are behind the point. A day may have ten million, and to make a
/// `Decimal` of each costs more than to multiply.
#[derive(Debug, Clone, Copy)]
struct Number {
    digits: u128,
    behind: u32,
}

impl Number {
    /// Reads one, which may be zero: what is traded of a coin that is worth little.
    fn read(text: &[u8]) -> Option<Self> {
        let is_plain = text.first().is_some_and(u8::is_ascii_digit) && text.last().is_some_and(u8::is_ascii_digit);
        let (mut digits, mut behind) = (0_u128, None);
        for byte in text {
            match byte {
                b'0'..=b'9' => {
                    digits = digits.checked_mul(10)?.checked_add(u128::from(byte - b'0'))?;
                    behind = behind.map(|behind| behind + 1);
                }
                b'.' if behind.is_none() => behind = Some(0),
                _ => return None,
            }
        }
        is_plain.then_some(Self { digits, behind: behind.unwrap_or(0) })
    }
}

/// Whether `quote` is the product in as many decimals as it has; of those that are left out it is not known whether they are
/// cut or rounded. Nothing where a number is longer than any of Binance's.
fn is_product(price: &[u8], quantity: &[u8], quote: Number) -> Option<bool> {
    let (price, quantity) = (Number::read(price)?, Number::read(quantity)?);
    let product = price.digits.checked_mul(quantity.digits)?;
    let behind = price.behind + quantity.behind;
    let more = |by: u32| 10_u128.checked_pow(by);
    let product = product.checked_mul(more(quote.behind.saturating_sub(behind))?)?;
    let last_digit = more(behind.saturating_sub(quote.behind))?;
    Some(product.abs_diff(quote.digits.checked_mul(last_digit)?) < last_digit)
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// Digits alone: no sign, no white space.
fn number(bytes: &[u8]) -> Option<u64> {
    let is_digits = !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit);
    text(bytes).filter(|_| is_digits)?.parse().ok()
}

fn boolean(bytes: &[u8]) -> Option<bool> {
    match bytes {
        b"True" | b"true" => Some(true),
        b"False" | b"false" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LINE: &str = "6595931385,87000.01000000,0.00110000,95.70001100,1795996800123456,True,True";

    fn read(line: &str) -> Result<DumpTrade, BadLine> {
        read_line(line.as_bytes(), Unit::Microseconds)
    }

    #[test]
    fn a_line_is_a_trade() {
        let trade = read(LINE).unwrap();
        assert_eq!((trade.id.get(), trade.time.ms()), (6_595_931_385, 1_795_996_800_123));
        assert_eq!((trade.price.as_str(), trade.quantity.as_str()), ("87000.01000000", "0.00110000"));
        assert!(trade.buyer_is_maker && trade.is_quote_right);
        let old = read_line(b"1,5,2.0,10,1700000000123,false,true", Unit::Milliseconds).unwrap();
        assert_eq!((old.time.ms(), old.buyer_is_maker, old.is_quote_right), (1_700_000_000_123, false, true));
    }

    #[test]
    fn a_quote_quantity_is_price_times_quantity_in_its_digits() {
        let quote = |quote: &str| read(&LINE.replace("95.70001100", quote)).unwrap().is_quote_right;
        assert!(quote("95.700011") && quote("95.70001100") && quote("95.700011000000") && quote("95.7") && quote("96"));
        assert!(!quote("95.70001101") && !quote("95.6") && !quote("95.70001099") && !quote("0.00000000"));
        let tiny = |quote: &str| read(&format!("1,0.00000123,0.00100000,{quote},1795996800123456,True,True")).unwrap();
        assert!(tiny("0.00000000").is_quote_right && tiny("0.00000001").is_quote_right);
        assert!(!tiny("0.00000002").is_quote_right);
        let long = format!("1,{0},{0},1,1795996800123456,True,True", "9".repeat(28));
        assert!(!read(&long).unwrap().is_quote_right);
    }

    #[test]
    fn what_is_no_trade_is_told_with_its_id_if_it_has_one() {
        for (from, to, id, why) in [
            (",True,True", ",True", false, "it has not seven columns"),
            ("True,True", "True,True,", false, "it has not seven columns"),
            (LINE, "", false, "it has not seven columns"),
            ("6595931385", "-1", false, "its id is none"),
            ("6595931385", "", false, "its id is none"),
            ("6595931385", "99999999999999999999", false, "its id is none"),
            ("87000.01000000", "8.7e4", true, "its price is none"),
            ("87000.01000000", "0.00", true, "its price is none"),
            ("87000.01000000", "\"87000.01\"", true, "its price is none"),
            ("0.00110000", "-1", true, "its quantity is none"),
            ("95.70001100", "", true, "its quote quantity is no number"),
            ("95.70001100", "1e2", true, "its quote quantity is no number"),
            ("95.70001100", ".5", true, "its quote quantity is no number"),
            ("95.70001100", "9.5.7", true, "its quote quantity is no number"),
            ("95.70001100", "5.", true, "its quote quantity is no number"),
            ("1795996800123456", "+5", true, "its time is none"),
            ("1795996800123456", "18446744073709551615", true, "its time is none"),
            ("True,True", "TRUE,True", true, "isBuyerMaker is neither True nor False"),
            ("True,True", "True,1", true, "isBestMatch is neither True nor False"),
        ] {
            let bad = read(&LINE.replace(from, to)).unwrap_err();
            assert_eq!((bad.id.is_some(), bad.why), (id, why), "{to}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_trade_or_none(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_line(&line, Unit::Milliseconds);
        }

        #[test]
        fn a_product_is_that_of_decimals(price in 1u64..1_000_000_000, quantity in 1u64..1_000_000, off in -2i64..=2) {
            use rust_decimal::Decimal;
            let (price, quantity) = (Decimal::new(price.cast_signed(), 5), Decimal::new(quantity.cast_signed(), 6));
            let exact = price * quantity;
            let quote = exact.trunc_with_scale(8) + Decimal::new(off, 8);
            prop_assume!(quote >= Decimal::ZERO);
            let line = format!("1,{price},{quantity},{quote},1795996800123456,True,True");
            prop_assert_eq!(read(&line).unwrap().is_quote_right, (exact - quote).abs() < Decimal::new(1, 8));
        }

        #[test]
        fn a_changed_digit_never_reads_as_the_same_trade(at in 0..LINE.len(), digit in b'0'..=b'9') {
            let mut line = LINE.as_bytes().to_vec();
            prop_assume!(line[at].is_ascii_digit() && line[at] != digit);
            line[at] = digit;
            let (was, is) = (read(LINE).unwrap(), read_line(&line, Unit::Microseconds));
            // Digits behind the millisecond are not compared.
            let is_behind = (LINE.len() - ",True,True".len() - 3..LINE.len()).contains(&at);
            prop_assert!(is_behind || is.is_err() || is != Ok(was));
        }
    }
}
