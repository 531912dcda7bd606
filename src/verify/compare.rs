//! Whether two accounts of one minute are the same.

use rust_decimal::Decimal;

use crate::binance::rest::Kline;
use crate::store::minutes::{Account, ExactAccount, Minute, SumsAccount};
use crate::trade::Price;

/// What a number is known to within: the exchange's have eight digits behind the point.
const LAST_DIGIT: f64 = 1e-8;
const DECIMALS: u32 = 8;
/// Nearly all are all but one in so many.
const NEARLY_ALL: u64 = 50;
/// By this much of its value a number is changed at most when it is rounded to a float: 2^-53.
const ROUNDING: f64 = f64::EPSILON / 2.0;

/// A number that both sides tell of a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// How many trades.
    Trades,
    /// The first price.
    Open,
    /// The highest price.
    High,
    /// The lowest price.
    Low,
    /// The last price.
    Close,
    /// The sum of the quantities.
    Volume,
    /// The sum of price times quantity.
    QuoteVolume,
    /// The sum of the quantities whose taker bought.
    TakerBuyVolume,
}

impl Field {
    /// Its name in what is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trades => "trades",
            Self::Open => "open",
            Self::High => "high",
            Self::Low => "low",
            Self::Close => "close",
            Self::Volume => "volume",
            Self::QuoteVolume => "quote_volume",
            Self::TakerBuyVolume => "taker_buy_volume",
        }
    }
}

/// What is to be said of two accounts of a minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// They are the same, as far as the store's account goes.
    Same,
    /// The engine's sums do not tell: every trade has to be read.
    Unsure,
    /// They differ in these.
    Different(Vec<Field>),
}

/// Compares what a store has of a minute with the exchange's candle, by value.
///
/// Numbers are compared as decimals. A store's own sums are floats, and say only that a minute is the same: whatever else they
/// say is [`Comparison::Unsure`].
pub fn compare(minute: &Minute, candle: &Kline) -> Comparison {
    match &minute.account {
        Account::Exact(account) => {
            let fields = different(minute.trades, account, candle);
            if fields.is_empty() { Comparison::Same } else { Comparison::Different(fields) }
        }
        Account::Sums(account) => {
            let is_same = minute.trades == candle.trades && are_same_sums(minute.trades, account, candle);
            if is_same { Comparison::Same } else { Comparison::Unsure }
        }
    }
}

fn different(trades: u64, account: &ExactAccount, candle: &Kline) -> Vec<Field> {
    let price = |stored: Price, told: Decimal| stored.to_decimal() == told;
    let sum = |stored: Option<Decimal>, told: Decimal| stored == Some(told);
    let all = [
        (Field::Trades, trades == candle.trades),
        (Field::Open, price(account.open, candle.open)),
        (Field::High, price(account.high, candle.high)),
        (Field::Low, price(account.low, candle.low)),
        (Field::Close, price(account.close, candle.close)),
        (Field::Volume, sum(account.volume, candle.volume)),
        (Field::QuoteVolume, is_same_quote(trades, account, candle.quote_volume)),
        (Field::TakerBuyVolume, sum(account.taker_buy_volume, candle.taker_buy_volume)),
    ];
    all.into_iter().filter(|(_, is_same)| !is_same).map(|(field, _)| field).collect()
}

/// The exchange writes price times quantity with eight decimals. Where that is not all of it, it is not known whether it cuts or
/// rounds each one or their sum: each may be a last digit off. Of Binance's symbols with a tick and a step that multiply to
/// 1e-8 or more it is none, and of the others most products have more. So where nearly all fit, one that does not is no trade
/// of that symbol, and nothing may be off.
fn is_same_quote(trades: u64, account: &ExactAccount, told: Decimal) -> bool {
    let cut = if account.cut.saturating_mul(NEARLY_ALL) <= trades { 0 } else { account.cut };
    let off = Decimal::from(cut).checked_mul(Decimal::new(1, DECIMALS));
    let is_near = |stored: Decimal| Some((stored.checked_sub(told)?).abs() <= off?);
    account.quote_volume.and_then(is_near).unwrap_or(false)
}

fn are_same_sums(trades: u64, account: &SumsAccount, candle: &Kline) -> bool {
    let price = |stored: Option<Price>, told: Decimal| stored.is_some_and(|stored| stored.to_decimal() == told);
    // The nearest float of a text of at most 15 digits is no other such text's.
    let extreme = |stored: f64, told: Decimal| float(told).is_some_and(|told| stored == told);
    price(account.open, candle.open)
        && price(account.close, candle.close)
        && extreme(account.high, candle.high)
        && extreme(account.low, candle.low)
        && float(candle.volume).is_some_and(|told| is_same_sum(trades, account.volume, told))
        // What the store does not add up is not compared.
        && account.taker_buy_volume.is_none_or(|stored| {
            float(candle.taker_buy_volume).is_some_and(|told| is_same_sum(trades, stored, told))
        })
        && account.quote_volume.is_none_or(|stored| {
            float(candle.quote_volume).is_some_and(|told| is_near_product_sum(trades, stored, told))
        })
}

/// Whether a sum of floats can be that of the same decimals only as `told`, whatever the order in which they were added.
///
/// Each quantity is off by at most [`ROUNDING`] of its value when it becomes a float, and each addition adds at most as much of
/// what is summed up by then, which is never more than the sum of all: n trades and `told` itself make it (n + 1) times
/// [`ROUNDING`] of the sum, and a little for the products of these. Two sums of numbers with eight decimals that are not the same
/// are a last digit apart at least. So where the difference and that bound together stay below it, the sums are the same; where
/// they do not, as with a volume of billions, nothing is known.
fn is_same_sum(trades: u64, sum: f64, told: f64) -> bool {
    let bound = (trades as f64 + 3.0) * ROUNDING * sum.max(told);
    (sum - told).abs() + bound < LAST_DIGIT
}

/// Whether a sum of products of floats is as near to `told` as such a sum is to that of the decimals.
///
/// Turnovers of millions are too large for the bound of [`is_same_sum`]. The errors of n additions go both ways, so they come to
/// about the root of n times [`ROUNDING`] of the sum: at most 1.2 times that in 1,241 minutes of 4,000 trades
/// (docs/performance.md), and twice that is allowed. With 4,000 trades and a turnover of five million it is 8e-8, less than one
/// step of a price, 0.01, with the smallest quantity of BTCUSDT, 0.00001. So it sees what else only the exact account does, a
/// price between low and high, but it proves nothing: what is below is not seen.
fn is_near_product_sum(trades: u64, sum: f64, told: f64) -> bool {
    (sum - told).abs() <= 2.0 * (trades as f64 + 4.0).sqrt() * ROUNDING * sum.max(told)
}

/// The float that is nearest to a decimal.
fn float(decimal: Decimal) -> Option<f64> {
    decimal.to_string().parse().ok()
}
