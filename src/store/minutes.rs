//! What a store has of each minute, added up so that it can be held against the exchange's own candle.
//!
//! Two accounts of a minute: the exact one, of every trade's own texts, and the one of a storage engine's sums, which are floats.

use std::ops::ControlFlow;

use rust_decimal::Decimal;

use super::{Scope, Store, StoreError, StoredTrade};
use crate::trade::{Exchange, IdRange, MINUTE_MS, Price, Symbol, Trade, TradeId, TradeTime, compare_texts};

/// What Binance's numbers have behind the point.
const DECIMALS: u32 = 8;
/// One, in units of the last of those decimals.
const ONE: u64 = 100_000_000;

/// One minute of one series; there is none without a trade.
#[derive(Debug, Clone, PartialEq)]
pub struct Minute {
    /// The exchange.
    pub exchange: Exchange,
    /// The symbol.
    pub symbol: Symbol,
    /// Its begin.
    pub start: TradeTime,
    /// How many trades it has.
    pub trades: u64,
    /// The lowest id and the highest.
    pub ids: IdRange,
    /// Its prices and volumes.
    pub account: Account,
}

/// What the trades of a minute add up to.
#[derive(Debug, Clone, PartialEq)]
pub enum Account {
    /// Of every trade's texts.
    Exact(ExactAccount),
    /// Of the storage engine's sums.
    Sums(SumsAccount),
}

/// Every number as a decimal; a sum of more digits than a decimal holds is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExactAccount {
    /// The price of the smallest (T, id).
    pub open: Price,
    /// The highest price.
    pub high: Price,
    /// The lowest price.
    pub low: Price,
    /// The price of the largest (T, id).
    pub close: Price,
    /// The sum of the quantities.
    pub volume: Option<Decimal>,
    /// The sum of price times quantity.
    pub quote_volume: Option<Decimal>,
    /// The sum of the quantities of those trades whose taker bought.
    pub taker_buy_volume: Option<Decimal>,
    /// Trades whose price times quantity has more than eight decimals: of those an exchange that writes eight tells less.
    pub cut: u64,
}

/// What a storage engine adds up by itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SumsAccount {
    /// The price of the smallest (T, id), of its text; none if that is no price.
    pub open: Option<Price>,
    /// The highest price, as the float beside its text.
    pub high: f64,
    /// The lowest.
    pub low: f64,
    /// The price of the largest (T, id), as that of the smallest.
    pub close: Option<Price>,
    /// The sum of the floats beside the quantities.
    pub volume: f64,
    /// The sum of the products of the floats, if the engine adds up such.
    pub quote_volume: Option<f64>,
    /// The sum of the floats beside the quantities of those trades whose taker bought, if the engine adds up such.
    pub taker_buy_volume: Option<f64>,
}

/// Adds up the trades of one minute, in whatever order.
#[derive(Debug, Clone)]
pub struct MinuteSum {
    start: TradeTime,
    trades: u64,
    ids: IdRange,
    first: (TradeTime, TradeId),
    last: (TradeTime, TradeId),
    open: Price,
    high: Price,
    low: Price,
    close: Price,
    volume: Sum,
    quote_volume: Sum,
    taker_buy_volume: Sum,
    cut: u64,
}

/// What is added up of one trade.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// Its id.
    pub id: TradeId,
    /// Its price.
    pub price: Price,
    /// The text of its quantity, which was taken as one.
    pub quantity: &'a [u8],
    /// Whether its taker sold.
    pub buyer_is_maker: bool,
}

impl<'a> From<&'a Trade> for Part<'a> {
    fn from(trade: &'a Trade) -> Self {
        let Trade { id, price, quantity, buyer_is_maker, .. } = trade;
        Self { id: *id, price: *price, quantity: quantity.as_bytes(), buyer_is_maker: *buyer_is_maker }
    }
}

/// The minutes of one series, added up trade by trade.
#[derive(Debug, Default)]
pub struct MinuteSums {
    running: Option<MinuteSum>,
    ended: Vec<MinuteSum>,
}

impl MinuteSums {
    /// Takes the next trade, minute after minute.
    pub fn add(&mut self, time: TradeTime, part: Part<'_>) {
        match self.running.as_mut().filter(|minute| minute.holds(time)) {
            Some(minute) => minute.add(time, part),
            None => self.ended.extend(self.running.replace(MinuteSum::of_first(time, part))),
        }
    }

    /// The minutes, in order.
    pub fn finish(self, exchange: &Exchange, symbol: &Symbol) -> Vec<Minute> {
        self.ended.into_iter().chain(self.running).map(|minute| minute.finish(exchange, symbol)).collect()
    }
}

/// The minutes of a series from `since` up to `until`, as every trade of theirs adds up; `on_trade` learns of each.
///
/// # Errors
///
/// [`StoreError`] if the store does not answer.
///
/// # Cancel safety
///
/// Safe: it only reads.
pub async fn add_up(
    store: &dyn Store,
    series: (&Exchange, &Symbol),
    since: TradeTime,
    until: TradeTime,
    mut on_trade: impl FnMut() + Send,
) -> Result<Vec<Minute>, StoreError> {
    let mut sums = MinuteSums::default();
    let mut take = |StoredTrade { trade, .. }: StoredTrade| {
        sums.add(trade.time, (&trade).into());
        on_trade();
        ControlFlow::Continue(())
    };
    store.trades(&Scope::of(series), since, Some(until), &mut take).await?;
    Ok(sums.finish(series.0, series.1))
}

impl MinuteSum {
    /// The minute that holds `time`, with its first trade.
    pub fn of_first(time: TradeTime, part: Part<'_>) -> Self {
        let (price, id) = (part.price, part.id.get());
        let mut sum = Self {
            start: time.minute(),
            trades: 0,
            ids: IdRange { first: id, last: id },
            first: (time, part.id),
            last: (time, part.id),
            open: price,
            high: price,
            low: price,
            close: price,
            volume: Sum::default(),
            quote_volume: Sum::default(),
            taker_buy_volume: Sum::default(),
            cut: 0,
        };
        sum.add(time, part);
        sum
    }

    /// Whether a trade of `time` belongs to it.
    pub fn holds(&self, time: TradeTime) -> bool {
        (0..MINUTE_MS).contains(&(time.ms() - self.start.ms()))
    }

    /// Takes a trade that happened at `time`, in this minute.
    pub fn add(&mut self, time: TradeTime, part: Part<'_>) {
        let Part { id, price, quantity, buyer_is_maker } = part;
        self.trades += 1;
        self.ids = IdRange { first: self.ids.first.min(id.get()), last: self.ids.last.max(id.get()) };
        if compare_texts(price.as_bytes(), self.high.as_bytes()).is_gt() {
            self.high = price;
        }
        if compare_texts(price.as_bytes(), self.low.as_bytes()).is_lt() {
            self.low = price;
        }
        if (time, id) <= self.first {
            (self.first, self.open) = ((time, id), price);
        }
        if (time, id) >= self.last {
            (self.last, self.close) = ((time, id), price);
        }
        let amount = Amount::of(quantity);
        let quote = Amount::of(price.as_bytes()).times(amount);
        self.cut += u64::from(quote.has_more_decimals());
        self.volume.add(amount);
        self.quote_volume.add(quote);
        if !buyer_is_maker {
            self.taker_buy_volume.add(amount);
        }
    }

    /// The minute of a series.
    pub fn finish(self, exchange: &Exchange, symbol: &Symbol) -> Minute {
        let account = ExactAccount {
            open: self.open,
            high: self.high,
            low: self.low,
            close: self.close,
            volume: self.volume.value(),
            quote_volume: self.quote_volume.value(),
            taker_buy_volume: self.taker_buy_volume.value(),
            cut: self.cut,
        };
        Minute {
            exchange: exchange.clone(),
            symbol: symbol.clone(),
            start: self.start,
            trades: self.trades,
            ids: self.ids,
            account: Account::Exact(account),
        }
    }
}

/// A number that is added up: nearly always whole units of 1e-8, as Binance's prices and quantities are, and their products of 1e-16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Amount {
    /// In units of 1e-8.
    Eighths(u64),
    /// In units of 1e-16.
    Units(u128),
    /// Anything else that a decimal holds; `None` past that.
    Other(Option<Decimal>),
}

impl Amount {
    /// The value of a text that was taken as a price or a quantity.
    fn of(text: &[u8]) -> Self {
        let exact = || Decimal::from_str_exact(std::str::from_utf8(text).ok()?).ok();
        eighths(text).map_or_else(|| Self::Other(exact()), Self::Eighths)
    }

    fn times(self, other: Self) -> Self {
        if let (Self::Eighths(one), Self::Eighths(other)) = (self, other) {
            return Self::Units(u128::from(one) * u128::from(other));
        }
        let product = |(one, other): (Decimal, Decimal)| {
            let (one, other) = (one.normalize(), other.normalize());
            // What `rust_decimal` cannot hold of a product it rounds off, and then it has fewer decimals.
            one.checked_mul(other).filter(|product| product.scale() == one.scale() + other.scale())
        };
        Self::Other(self.decimal().zip(other.decimal()).and_then(product))
    }

    fn decimal(self) -> Option<Decimal> {
        match self {
            Self::Eighths(eighths) => Some(Decimal::from_i128_with_scale(eighths.into(), DECIMALS)),
            Self::Units(units) => in_units(units),
            Self::Other(decimal) => decimal,
        }
    }

    fn has_more_decimals(self) -> bool {
        match self {
            Self::Eighths(_) => false,
            Self::Units(units) => !units.is_multiple_of(ONE.into()),
            Self::Other(decimal) => decimal.is_none_or(|decimal| decimal.normalize().scale() > DECIMALS),
        }
    }
}

/// A sum of amounts that loses nothing, or says that it did.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    units: u128,
    other: Decimal,
    is_beyond: bool,
}

impl Sum {
    fn add(&mut self, amount: Amount) {
        match amount {
            Amount::Eighths(eighths) => self.add(Amount::Units(u128::from(eighths) * u128::from(ONE))),
            Amount::Units(units) => match self.units.checked_add(units) {
                Some(sum) => self.units = sum,
                None => self.is_beyond = true,
            },
            Amount::Other(other) => match other.and_then(|other| exact_sum(self.other, other)) {
                Some(sum) => self.other = sum,
                None => self.is_beyond = true,
            },
        }
    }

    /// With eight decimals, or as many as it takes.
    fn value(&self) -> Option<Decimal> {
        let mut sum = exact_sum(in_units(self.units)?, self.other).filter(|_| !self.is_beyond)?;
        sum.rescale(DECIMALS.max(sum.scale()));
        Some(sum)
    }
}

/// The sum, unless digits would be rounded off.
fn exact_sum(one: Decimal, other: Decimal) -> Option<Decimal> {
    let (one, other) = (one.normalize(), other.normalize());
    let sum = one.checked_add(other)?;
    (sum.checked_sub(one)? == other && sum.checked_sub(other)? == one).then_some(sum)
}

/// So many units of 1e-16, if a decimal holds them.
fn in_units(units: u128) -> Option<Decimal> {
    let of = |units: u128, scale| Decimal::try_from_i128_with_scale(i128::try_from(units).ok()?, scale).ok();
    let one = u128::from(ONE);
    if units.is_multiple_of(one) { of(units / one, DECIMALS) } else { of(units, 2 * DECIMALS) }
}

/// The value of a plain decimal in units of 1e-8, if it has no more decimals and fits.
fn eighths(text: &[u8]) -> Option<u64> {
    let (mut units, mut decimals, mut is_fraction) = (0_u64, 0_u32, false);
    for byte in text {
        if *byte == b'.' {
            is_fraction = true;
        } else {
            units = units.checked_mul(10)?.checked_add(u64::from(byte.wrapping_sub(b'0')))?;
            decimals += u32::from(is_fraction);
        }
    }
    units.checked_mul(10_u64.checked_pow(DECIMALS.checked_sub(decimals)?)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time(ms: i64) -> TradeTime {
        TradeTime::from_ms(ms).unwrap()
    }

    fn account(trades: &[(u64, &str, &str, bool)]) -> (Minute, ExactAccount) {
        let parts = trades.iter().map(|(id, price, quantity, buyer_is_maker)| Part {
            id: TradeId::new(*id).unwrap(),
            price: Price::new(price).unwrap(),
            quantity: quantity.as_bytes(),
            buyer_is_maker: *buyer_is_maker,
        });
        let mut sum: Option<MinuteSum> = None;
        for part in parts {
            match &mut sum {
                None => sum = Some(MinuteSum::of_first(time(90_000), part)),
                Some(sum) => sum.add(time(90_000), part),
            }
        }
        let minute = sum.unwrap().finish(&"binance".parse().unwrap(), &"BTCUSDT".parse().unwrap());
        let Account::Exact(account) = minute.account else { panic!("{minute:?}") };
        (minute, account)
    }

    fn text(sum: Option<Decimal>) -> String {
        sum.map_or_else(|| "none".to_owned(), |sum| sum.to_string())
    }

    #[test]
    fn a_minute_adds_up_its_trades_in_whatever_order() {
        let (minute, account) = account(&[
            (7, "87000.72000000", "0.00014000", false),
            (9, "87000.74", "0.01431000", true),
            (8, "87000.70000000", "2", false),
        ]);
        assert_eq!((minute.start.ms(), minute.trades, minute.ids), (60_000, 3, IdRange { first: 7, last: 9 }));
        let prices = [account.open, account.high, account.low, account.close].map(|price| price.to_string());
        assert_eq!(prices, ["87000.72000000", "87000.74", "87000.70000000", "87000.74"]);
        assert_eq!(text(account.volume), "2.01445000");
        assert_eq!(text(account.taker_buy_volume), "2.00014000");
        assert_eq!(text(account.quote_volume), "175258.56069020");
        assert_eq!(account.cut, 0);
    }

    #[test]
    fn a_minute_lasts_a_minute() {
        let part = Part {
            id: TradeId::new(1).unwrap(),
            price: Price::new("1").unwrap(),
            quantity: b"1",
            buyer_is_maker: true,
        };
        let sum = MinuteSum::of_first(time(119_999), part);
        assert!(sum.holds(time(60_000)) && sum.holds(time(119_999)));
        assert!(!sum.holds(time(59_999)) && !sum.holds(time(120_000)));
        assert_eq!(text(sum.taker_buy_volume.value()), "0.00000000");
    }

    #[test]
    fn sums_of_odd_numbers_are_exact_or_none() {
        let of = |price, quantity| account(&[(1, price, quantity, false), (2, "1", "1", false)]).1;
        let tiny = of("0.00000001", "0.00000001");
        assert_eq!((text(tiny.quote_volume), tiny.cut), ("1.0000000000000001".to_owned(), 1));
        let long = of("0.123456789", "0.1000000000000000001");
        assert_eq!(text(long.volume), "1.1000000000000000001");
        assert_eq!(text(long.quote_volume), "1.0123456789000000000123456789");
        assert_eq!(long.cut, 1);
        let large = of("9999999999999999999999999999", "1");
        assert_eq!(text(large.volume), "2.00000000");
        assert_eq!(large.quote_volume.map(|sum| sum.to_string()), Some("10000000000000000000000000000".to_owned()));
        let lossy = of("1", "0.0000000000000000000000000001");
        assert_eq!(text(lossy.volume), "1.0000000000000000000000000001");
        let beyond = of("9999999999999999999999999999", "3.3");
        assert_eq!((beyond.quote_volume, text(beyond.volume)), (None, "4.30000000".to_owned()));
    }

    proptest! {
        #[test]
        fn sums_are_those_of_decimals(
            trades in prop::collection::vec((1_u64..99_999_999_999_999, 1_u64..999_999_999_999, any::<bool>()), 1..50),
        ) {
            let decimal = |eighths: u64| Decimal::from_i128_with_scale(eighths.into(), 8);
            let texts: Vec<_> = trades
                .iter()
                .map(|(price, quantity, maker)| (decimal(*price).to_string(), decimal(*quantity).to_string(), *maker))
                .collect();
            let parts: Vec<_> = texts
                .iter()
                .enumerate()
                .map(|(id, (price, quantity, maker))| (id as u64, price.as_str(), quantity.as_str(), *maker))
                .collect();
            let (_, account) = account(&parts);
            let volume: Decimal = trades.iter().map(|(_, quantity, _)| decimal(*quantity)).sum();
            let bought: Decimal =
                trades.iter().filter(|(.., maker)| !maker).map(|(_, quantity, _)| decimal(*quantity)).sum();
            let prices = || trades.iter().map(|(price, ..)| decimal(*price));
            prop_assert_eq!((account.volume, account.taker_buy_volume), (Some(volume), Some(bought)));
            let quote: u128 = trades.iter().map(|(price, quantity, _)| u128::from(*price) * u128::from(*quantity)).sum();
            prop_assert_eq!(account.quote_volume.map(|sum| sum.normalize()), in_units(quote).map(|sum| sum.normalize()));
            prop_assert_eq!(Some(account.high.to_decimal()), prices().max());
            prop_assert_eq!(Some(account.low.to_decimal()), prices().min());
        }
    }
}
