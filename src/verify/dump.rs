//! Holds the trades of a store against those of the exchange's daily file, one by one.
//!
//! Both sides come in the order of (T, id), so whatever stands at the front of both belongs together, or one side lacks it. A
//! trade whose time is another in the store than in the file stands in two places: what one side lacks waits for a while, so
//! that it is found to be there with another time, and neither missing nor one too many. Only so much waits that memory does
//! not grow with what is missing.

mod waiting;

use std::cmp::Ordering;

use self::waiting::Waiting;
use crate::dump::line::{BadLine, DumpTrade};
use crate::dump::lines::Line;
use crate::trade::{Trade, TradeId, TradeTime, compare_texts};

/// What a trade of a file and one of a store may differ in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// When it happened, by the millisecond.
    Time,
    /// The price, by value.
    Price,
    /// The quantity, by value.
    Quantity,
    /// Which side was the maker.
    BuyerIsMaker,
}

impl Part {
    /// Its name in what is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Price => "price",
            Self::Quantity => "quantity",
            Self::BuyerIsMaker => "buyer_is_maker",
        }
    }
}

/// A trade of a file, and the number of its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// The line.
    pub line: u64,
    /// The trade.
    pub trade: DumpTrade,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Both sides have it, and differ in these.
    Different(Told, Trade, Vec<Part>),
    /// The file has it, and the store has not.
    Missing(Told),
    /// The store has it, and the file has not.
    Extra(Trade),
    /// A line is wrong whatever the store has.
    Malformed {
        /// Its number.
        line: u64,
        /// Whose trade it is, if it says so.
        id: Option<TradeId>,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// How many came to what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Trades that are the same on both sides.
    pub agree: u64,
    /// Trades that both sides have, and tell differently.
    pub different: u64,
    /// Trades that the store lacks.
    pub missing: u64,
    /// Trades that the file lacks.
    pub extra: u64,
    /// Lines that are wrong in themselves.
    pub malformed: u64,
    /// Trades of the file from before the time from which on is compared.
    pub before: u64,
    /// Ids between those that were compared that neither side has.
    pub absent: u64,
}

impl Counts {
    /// Trades of the file that were held against the store.
    pub fn compared(&self) -> u64 {
        self.agree + self.different + self.missing
    }

    /// Whether all that was compared is the same, and every line as it should be.
    pub fn is_yes(&self) -> bool {
        self.different + self.missing + self.extra + self.malformed == 0
    }
}

/// What a line that stands behind those of the store is.
#[derive(Debug, Clone, Copy)]
enum FromFile {
    Told(Told),
    /// A line that is no trade, of a trade that the store may have.
    Spoiled,
}

/// Where lines come from.
pub type NextLine<'a, E> = dyn FnMut() -> Result<Option<Line>, E> + Send + 'a;
/// What takes what was found, in about the order of ids.
pub type OnFound<'a> = dyn FnMut(Found) + Send + 'a;

/// Holds what a store hands over against the lines of a file.
pub struct Audit<'a, E> {
    next_line: &'a mut NextLine<'a, E>,
    on_found: &'a mut OnFound<'a>,
    from: TradeTime,
    /// The trade at the front of the file, if there is one more.
    front: Option<Told>,
    in_file: Waiting<FromFile>,
    in_store: Waiting<Trade>,
    counts: Counts,
    /// The first and the last id that were compared, and how many lines are between.
    ids: Option<(TradeId, TradeId)>,
    lines: u64,
    extra_between: u64,
}

impl<E> std::fmt::Debug for Audit<'_, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Audit").field("front", &self.front).field("counts", &self.counts).finish_non_exhaustive()
    }
}

impl<'a, E> Audit<'a, E> {
    /// Begins with the first line that is not from before `from`.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn begin(
        from: TradeTime,
        next_line: &'a mut NextLine<'a, E>,
        on_found: &'a mut OnFound<'a>,
    ) -> Result<Self, E> {
        let mut audit = Self {
            next_line,
            on_found,
            from,
            front: None,
            in_file: Waiting::default(),
            in_store: Waiting::default(),
            counts: Counts::default(),
            ids: None,
            lines: 0,
            extra_between: 0,
        };
        audit.advance()?;
        Ok(audit)
    }

    /// The trade of the file that is next.
    pub fn front(&self) -> Option<&DumpTrade> {
        self.front.as_ref().map(|told| &told.trade)
    }

    /// Takes the next trade of the store.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn take(&mut self, stored: Trade) -> Result<(), E> {
        let key = (stored.time, stored.id);
        while let Some(told) = self.front {
            match (told.trade.time, told.trade.id).cmp(&key) {
                Ordering::Less => self.only_in_file(told),
                Ordering::Equal => {
                    self.compare(told, stored);
                    return self.advance();
                }
                Ordering::Greater => break,
            }
            self.advance()?;
        }
        match self.in_file.take(stored.id) {
            Some(FromFile::Told(told)) => self.compare(told, stored),
            Some(FromFile::Spoiled) => {}
            None => {
                let late = self.in_store.put(stored.id, stored);
                late.into_iter().for_each(|stored| self.is_extra(stored));
            }
        }
        Ok(())
    }

    /// Takes what is left of the file, and says how many came to what.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn finish(mut self) -> Result<Counts, E> {
        while let Some(told) = self.front {
            self.only_in_file(told);
            self.advance()?;
        }
        for stored in std::mem::take(&mut self.in_store).drain() {
            self.is_extra(stored);
        }
        for from_file in std::mem::take(&mut self.in_file).drain() {
            self.is_missing(from_file);
        }
        let span = self.ids.map_or(0, |(first, last)| last.get() - first.get() + 1);
        self.counts.absent = span.saturating_sub(self.lines).saturating_sub(self.extra_between);
        Ok(self.counts)
    }

    /// Reads up to the next trade that is to be compared.
    fn advance(&mut self) -> Result<(), E> {
        self.front = None;
        while let Some(Line { number, read }) = (self.next_line)()? {
            match read {
                Ok(trade) => {
                    if !trade.is_quote_right {
                        let why = "its quote quantity is not price times quantity";
                        self.is_malformed(number, BadLine { id: Some(trade.id), why });
                    }
                    if trade.time < self.from {
                        self.counts.before += 1;
                        continue;
                    }
                    self.lines += 1;
                    self.ids = Some((self.ids.map_or(trade.id, |(first, _)| first), trade.id));
                    self.front = Some(Told { line: number, trade });
                    return Ok(());
                }
                Err(bad) => {
                    self.is_malformed(number, bad);
                    self.lines += u64::from(self.ids.is_some());
                    if let Some(id) = bad.id {
                        // The store's own is neither compared nor one too many.
                        if self.in_store.take(id).is_none() {
                            let late = self.in_file.put(id, FromFile::Spoiled);
                            late.into_iter().for_each(|late| self.is_missing(late));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn only_in_file(&mut self, told: Told) {
        match self.in_store.take(told.trade.id) {
            Some(stored) => self.compare(told, stored),
            None => {
                let late = self.in_file.put(told.trade.id, FromFile::Told(told));
                late.into_iter().for_each(|late| self.is_missing(late));
            }
        }
    }

    fn compare(&mut self, told: Told, stored: Trade) {
        let parts = different(&told.trade, &stored);
        if parts.is_empty() {
            self.counts.agree += 1;
        } else {
            self.counts.different += 1;
            (self.on_found)(Found::Different(told, stored, parts));
        }
    }

    fn is_missing(&mut self, from_file: FromFile) {
        if let FromFile::Told(told) = from_file {
            self.counts.missing += 1;
            (self.on_found)(Found::Missing(told));
        }
    }

    fn is_extra(&mut self, stored: Trade) {
        self.counts.extra += 1;
        self.extra_between += u64::from(self.ids.is_some_and(|(first, last)| (first..=last).contains(&stored.id)));
        (self.on_found)(Found::Extra(stored));
    }

    fn is_malformed(&mut self, line: u64, bad: BadLine) {
        self.counts.malformed += 1;
        (self.on_found)(Found::Malformed { line, id: bad.id, why: bad.why });
    }
}

/// What a trade of a file and the same one of a store differ in.
pub fn different(told: &DumpTrade, stored: &Trade) -> Vec<Part> {
    let is_same = |one: &[u8], other: &[u8]| compare_texts(one, other) == Ordering::Equal;
    let all = [
        (Part::Time, told.time == stored.time),
        (Part::Price, is_same(told.price.as_bytes(), stored.price.as_bytes())),
        (Part::Quantity, is_same(told.quantity.as_bytes(), stored.quantity.as_bytes())),
        (Part::BuyerIsMaker, told.buyer_is_maker == stored.buyer_is_maker),
    ];
    all.into_iter().filter(|(_, is_same)| !is_same).map(|(part, _)| part).collect()
}

#[cfg(test)]
mod tests;
