//! The exchange's candles, and what the store has of their minutes.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use tickflux::binance::rest::Kline;
use tickflux::capture::input::{MinutesKnown, MinutesRead};
use tickflux::capture::signoff::Stretch;
use tickflux::store::minutes::MinuteSums;
use tickflux::store::{KeptMinute, MinutePoint, StoreError};
use tickflux::trade::{MINUTE_MS, Symbol, TradeTime};
use tickflux::verify::find;

use crate::exchange::{Exchange, Market, Tick, flag};
use crate::faults::Faults;
use crate::plan::Lasting;
use crate::time::Time;

/// What the store keeps of minutes: whether each was verified.
#[derive(Debug, Default)]
pub struct Minutes(BTreeMap<(Symbol, i64), bool>);

fn time(ms: i64) -> TradeTime {
    TradeTime::from_ms(ms).expect("times are of today")
}

/// The trades of a stretch of time, of every count, in the order of (T, id).
fn trades_of(market: &Market, from_ms: i64, until_ms: i64) -> Vec<(usize, usize)> {
    let of_count = |(at, count): (usize, &crate::exchange::Count)| {
        let from = count.ticks.partition_point(|tick| tick.time_ms < from_ms);
        let end = count.ticks.partition_point(|tick| tick.time_ms < until_ms);
        (from..end.max(from)).map(move |index| (at, index)).collect::<Vec<_>>()
    };
    let mut all: Vec<_> = market.counts.iter().enumerate().flat_map(of_count).collect();
    all.sort_by_key(|(at, index)| (tick(market, (*at, *index)).time_ms, market.counts[*at].first_id + *index as u64));
    all
}

fn tick(market: &Market, (count, index): (usize, usize)) -> &Tick {
    &market.counts[count].ticks[index]
}

fn market<'a>(exchange: &'a Exchange, symbol: &Symbol) -> &'a Market {
    &exchange.markets[exchange.market_of(symbol.as_str()).expect("only ours is asked for")]
}

/// In units of 0.00000001.
fn decimal(units: u128) -> Decimal {
    Decimal::from_i128_with_scale(i128::try_from(units).expect("it is small"), 8)
}

/// The candles of a stretch of minutes, of what is known by then.
pub fn candles(exchange: &Exchange, stretch: &Stretch, known_ms: i64) -> Vec<Kline> {
    let market = market(exchange, &stretch.symbol);
    let mut close = 0;
    let minutes = (stretch.first.ms()..=stretch.last.ms()).step_by(MINUTE_MS as usize);
    let candle = |start: i64| {
        let end = (start + MINUTE_MS).min(known_ms + 1);
        let ticks: Vec<_> = trades_of(market, start, end).into_iter().map(|at| tick(market, at)).collect();
        let open = ticks.first().map_or(close, |tick| tick.price);
        close = ticks.last().map_or(close, |tick| tick.price);
        let prices = || ticks.iter().map(|tick| tick.price);
        let volume = |of: &dyn Fn(&Tick) -> bool| {
            ticks.iter().filter(|tick| of(tick)).map(|tick| u128::from(tick.quantity)).sum::<u128>()
        };
        let quote: u128 = ticks.iter().map(|tick| u128::from(tick.price) * u128::from(tick.quantity)).sum();
        Kline {
            start: time(start),
            open: decimal(open.into()),
            high: decimal(prices().max().unwrap_or(close).into()),
            low: decimal(prices().min().unwrap_or(close).into()),
            close: decimal(close.into()),
            volume: decimal(volume(&|_| true)),
            quote_volume: decimal(quote / 100_000_000),
            trades: ticks.len() as u64,
            taker_buy_volume: decimal(volume(&|tick| !tick.buyer_is_maker)),
        }
    };
    minutes.filter(|start| *start <= known_ms).map(candle).collect()
}

fn is_stored(market: &Market, at: (usize, usize)) -> bool {
    tick(market, at).flags & flag::STORED != 0
}

/// What a capture reads of a stretch. `Err` is a lie: a minute is verified exactly if every trade of it is stored.
pub fn read(
    exchange: &Exchange,
    faults: &Faults,
    stretch: &Stretch,
    candles: &[Kline],
    now: Time,
) -> Result<Result<MinutesRead, StoreError>, String> {
    if faults.any(&[Lasting::StoreDown, Lasting::StoreMute, Lasting::StoreTellsNothing, Lasting::StoreHolds], now) {
        return Ok(Err(StoreError::Unusable("it does not answer".to_owned())));
    }
    let market = market(exchange, &stretch.symbol);
    let name: tickflux::trade::Exchange = "practice".parse().expect("a name");
    let mut sums = MinuteSums::default();
    for at in trades_of(market, stretch.first.ms(), stretch.last.ms() + MINUTE_MS) {
        if is_stored(market, at) {
            let trade = market.trade(at.0, at.1);
            sums.add(trade.time, (&trade).into());
        }
    }
    let minutes = sums.finish(&name, &stretch.symbol);
    let findings = find(&stretch.symbol, stretch.first, stretch.last, &minutes, candles);
    for point in &findings.points {
        let of_minute = trades_of(market, point.start.ms(), point.start.ms() + MINUTE_MS);
        let is_whole = of_minute.iter().all(|at| is_stored(market, *at));
        let told = candles.iter().find(|candle| candle.start == point.start).map(|candle| candle.trades);
        let is_told = told == Some(of_minute.len() as u64);
        if point.difference.is_none() != (is_whole && is_told) && is_told {
            return Err(format!("{} {} is said to differ: {:?}", point.symbol, point.start, point.difference));
        }
    }
    let stored = || market.counts.iter().flat_map(|count| &count.ticks).filter(|tick| tick.flags & flag::STORED != 0);
    let begin = stored().map(|tick| tick.time_ms).min().filter(|begin| *begin >= stretch.first.ms());
    Ok(Ok(MinutesRead { findings, begin: begin.map(time) }))
}

impl Minutes {
    pub fn keep(&mut self, points: &[MinutePoint]) {
        for point in points {
            self.0.insert((point.symbol.clone(), point.start.ms()), point.difference.is_none());
        }
    }

    /// What the store knows of minutes from `since` on.
    pub fn known(&self, exchange: &Exchange, since: TradeTime) -> MinutesKnown {
        let kept = self.0.iter().filter(|((_, start), _)| *start >= since.ms());
        let kept = kept.map(|((symbol, start), is_verified)| KeptMinute {
            exchange: "practice".parse().expect("a name"),
            symbol: symbol.clone(),
            start: time(*start),
            is_verified: *is_verified,
        });
        let begin = |market: &Market| {
            let ticks = market.counts.iter().flat_map(|count| &count.ticks);
            let stored = ticks.filter(|tick| tick.flags & flag::STORED != 0 && tick.time_ms >= since.ms());
            Some((market.symbol.clone(), time(stored.map(|tick| tick.time_ms).min()?)))
        };
        MinutesKnown { kept: kept.collect(), begins: exchange.markets.iter().filter_map(begin).collect() }
    }
}
