//! The exchange: its own list of trades, which is the truth that everything is compared with.

use tickflux::trade::{Price, Quantity, Symbol, Trade, TradeId, TradeTime};

use crate::time::Time;

/// The exchange's time when a world begins.
pub const BEGIN_MS: i64 = 1_795_000_000_000;

/// What is known of a trade, one bit each.
pub mod flag {
    /// The store has it.
    pub const STORED: u8 = 1;
    /// The store said so, to whichever capture.
    pub const ACKNOWLEDGED: u8 = 2;
    /// It was left out for its age.
    pub const EXPIRED: u8 = 4;
    /// A capture has taken it in.
    pub const TAKEN: u8 = 8;
    /// The store refused it in its own words.
    pub const REFUSED: u8 = 64;
    /// The exchange gave a row of it that is no trade.
    pub const BAD_ROW: u8 = 128;
}

/// A trade as the exchange remembers it, and what became of it.
#[derive(Debug, Clone, Copy)]
pub struct Tick {
    pub time_ms: i64,
    /// In units of 0.00000001.
    pub price: u64,
    pub quantity: u64,
    pub buyer_is_maker: bool,
    pub flags: u8,
    /// When a capture first took it in, in ms of the world.
    pub taken_ms: u32,
}

/// Trades that were numbered in one go.
#[derive(Debug)]
pub struct Count {
    pub first_id: u64,
    pub ticks: Vec<Tick>,
    /// Up to here everything is stored, or was once.
    pub settled: usize,
}

/// One symbol's trades.
#[derive(Debug)]
pub struct Market {
    pub symbol: Symbol,
    pub counts: Vec<Count>,
    pub mean_gap_us: u64,
    price: u64,
}

/// Which trade: of which market, which count, and which of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub market: usize,
    pub count: usize,
    pub index: usize,
}

#[derive(Debug)]
pub struct Exchange {
    pub markets: Vec<Market>,
}

pub fn decimal(units: u64) -> String {
    format!("{}.{:08}", units / 100_000_000, units % 100_000_000)
}

/// The exchange's time.
pub fn exchange_ms(now: Time) -> i64 {
    BEGIN_MS + now.ms()
}

impl Count {
    pub fn last_id(&self) -> Option<u64> {
        (self.first_id + self.ticks.len() as u64).checked_sub(1).filter(|_| !self.ticks.is_empty())
    }

    pub fn index(&self, id: u64) -> Option<usize> {
        let index = usize::try_from(id.checked_sub(self.first_id)?).ok()?;
        (index < self.ticks.len()).then_some(index)
    }
}

impl Market {
    fn newest_count(&self) -> &Count {
        self.counts.last().expect("a market has a count")
    }

    pub fn newest(&self) -> Option<(u64, i64)> {
        let count = self.newest_count();
        Some((count.last_id()?, count.ticks.last()?.time_ms))
    }

    /// The trade as a message of a stream.
    pub fn message(&self, place: Place) -> String {
        let count = &self.counts[place.count];
        let (id, tick) = (count.first_id + place.index as u64, &count.ticks[place.index]);
        message(&self.symbol, id, tick)
    }

    /// A row of the history.
    pub fn trade(&self, count: usize, index: usize) -> Trade {
        let count = &self.counts[count];
        let tick = &count.ticks[index];
        Trade {
            symbol: self.symbol.clone(),
            id: TradeId::new(count.first_id + index as u64).expect("ids are small"),
            time: TradeTime::from_ms(tick.time_ms).expect("times are of today"),
            price: Price::new(&decimal(tick.price)).expect("a price"),
            quantity: Quantity::new(&decimal(tick.quantity)).expect("a quantity"),
            buyer_is_maker: tick.buyer_is_maker,
        }
    }
}

pub fn message(symbol: &Symbol, id: u64, tick: &Tick) -> String {
    let name = symbol.as_str();
    format!(
        r#"{{"stream":"{}@trade","data":{{"e":"trade","E":{},"s":"{name}","t":{id},"p":"{}","q":"{}","T":{},"m":{},"M":true}}}}"#,
        name.to_lowercase(),
        tick.time_ms + 1,
        decimal(tick.price),
        decimal(tick.quantity),
        tick.time_ms,
        tick.buyer_is_maker,
    )
}

impl Exchange {
    /// So many markets that trade so often together.
    pub fn new(markets: usize, per_second: f64, rng: &mut fastrand::Rng) -> Self {
        let mean_gap_us = (markets as f64 / per_second * 1e6) as u64;
        let market = |at: usize| Market {
            symbol: match at {
                0 => "BTCUSDT".to_owned(),
                1 => "ETHUSDT".to_owned(),
                _ => format!("COIN{at}USDT"),
            }
            .parse()
            .expect("a symbol"),
            // Near a multiple of a million now and then: there the order inside a millisecond is another one.
            counts: vec![Count {
                first_id: 1_000_000 * rng.u64(1..5_000) - rng.u64(1..50_000),
                ticks: Vec::new(),
                settled: 0,
            }],
            mean_gap_us,
            price: rng.u64(100_000_000..9_000_000_000_000),
        };
        Self { markets: (0..markets).map(market).collect() }
    }

    /// A trade happens.
    pub fn trade(&mut self, market: usize, now: Time, rng: &mut fastrand::Rng) -> Place {
        let Market { counts, price, .. } = &mut self.markets[market];
        *price = (*price + rng.u64(0..2_000_001)).saturating_sub(1_000_000).max(1);
        let at = counts.len() - 1;
        let count = &mut counts[at];
        count.ticks.push(Tick {
            time_ms: exchange_ms(now),
            price: *price,
            quantity: rng.u64(1..1_000_000_000),
            buyer_is_maker: rng.bool(),
            flags: 0,
            taken_ms: 0,
        });
        Place { market, count: at, index: count.ticks.len() - 1 }
    }

    /// The exchange numbers a market's trades anew, as its test network does once a month; not while the ids of the count
    /// before are as low.
    pub fn restart_count(&mut self, market: usize, rng: &mut fastrand::Rng) {
        if self.markets[market].newest().is_none_or(|(id, _)| id < 3_000) {
            return;
        }
        self.markets[market].counts.push(Count { first_id: rng.u64(1..500), ticks: Vec::new(), settled: 0 });
    }

    pub fn market_of(&self, symbol: &str) -> Option<usize> {
        self.markets.iter().position(|market| market.symbol.as_str() == symbol)
    }

    /// Which trade an id and a time belong to.
    pub fn place(&self, market: usize, id: u64, time_ms: i64) -> Option<Place> {
        let counts = &self.markets.get(market)?.counts;
        let found = counts.iter().enumerate().find_map(|(at, count)| {
            let index = count.index(id).filter(|index| count.ticks[*index].time_ms == time_ms)?;
            Some((at, index))
        });
        found.map(|(count, index)| Place { market, count, index })
    }

    /// A capture takes a trade of the newest count after all, at that time in ms of the world, or it does not.
    pub fn note_taken(&mut self, symbol: &Symbol, id: u64, taken_ms: Option<u32>) {
        let Some(market) = self.market_of(symbol.as_str()) else { return };
        let count = self.markets[market].counts.last_mut();
        let Some(tick) = count.and_then(|count| count.index(id).map(|index| &mut count.ticks[index])) else { return };
        if let Some(taken_ms) = taken_ms {
            (tick.flags, tick.taken_ms) = (tick.flags | flag::TAKEN, taken_ms);
        } else if tick.flags & flag::ACKNOWLEDGED == 0 {
            tick.flags &= !flag::TAKEN;
        }
    }

    pub fn tick(&mut self, place: Place) -> &mut Tick {
        &mut self.markets[place.market].counts[place.count].ticks[place.index]
    }
}
