//! The bundled Flux scripts and their parameters.
//!
//! The files in `flux/` run as they are, in the influx CLI and in the Data Explorer. Here the same text is rendered
//! for one question, or with the values that someone gives: each parameter stands on a line of its own,
//! `name = default`, and that line is replaced. Values are typed and written as Flux literals, so no value can become code.

use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat};

/// A bundled Flux script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Script {
    /// The newest trade of each symbol.
    Latest,
    /// The trade nearest to a time, or the last one up to it.
    PriceAt,
    /// The highest and the lowest trade of a minute.
    HighLow,
    /// Open, high, low and close of each stretch of time.
    Candles,
    /// Volume, what takers bought and sold, and the mean price of each stretch of time.
    Volume,
    /// What each minute adds up to.
    Minutes,
    /// The minutes whose ids are not whole.
    Gaps,
    /// The trade ids of a stretch of time.
    Ids,
    /// The trades of a stretch of time.
    Trades,
    /// The points that are no trades.
    Foreign,
    /// Which minutes are verified.
    Verified,
}

impl Script {
    /// Every bundled script.
    pub const ALL: [Self; 11] = [
        Self::Latest,
        Self::PriceAt,
        Self::HighLow,
        Self::Candles,
        Self::Volume,
        Self::Minutes,
        Self::Gaps,
        Self::Ids,
        Self::Trades,
        Self::Foreign,
        Self::Verified,
    ];

    /// The name of its file in `flux/`, without the suffix.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Latest => "latest",
            Self::PriceAt => "price_at",
            Self::HighLow => "high_low",
            Self::Candles => "candles",
            Self::Volume => "volume",
            Self::Minutes => "minutes",
            Self::Gaps => "gaps",
            Self::Ids => "ids",
            Self::Trades => "trades",
            Self::Foreign => "foreign",
            Self::Verified => "verified",
        }
    }

    /// The script with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|script| script.name() == name)
    }

    /// Its text as shipped, with the defaults.
    #[must_use]
    pub const fn source(self) -> &'static str {
        match self {
            Self::Latest => include_str!("../flux/latest.flux"),
            Self::PriceAt => include_str!("../flux/price_at.flux"),
            Self::HighLow => include_str!("../flux/high_low.flux"),
            Self::Candles => include_str!("../flux/candles.flux"),
            Self::Volume => include_str!("../flux/volume.flux"),
            Self::Minutes => include_str!("../flux/minutes.flux"),
            Self::Gaps => include_str!("../flux/gaps.flux"),
            Self::Ids => include_str!("../flux/ids.flux"),
            Self::Trades => include_str!("../flux/trades.flux"),
            Self::Foreign => include_str!("../flux/foreign.flux"),
            Self::Verified => include_str!("../flux/verified.flux"),
        }
    }
}

/// What a parameter is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// Some texts; none means every one.
    Texts(Vec<String>),
    /// A time in milliseconds since the epoch.
    TimeMs(i64),
    /// A length in milliseconds; negative where a time is wanted: so long before the script runs.
    DurationMs(i64),
    /// Yes or no.
    Flag(bool),
}

/// What tickflux asks. The variant names the script and carries the parameters that only it has; `None` keeps the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// The newest trade.
    Latest,
    /// The trade at a time.
    PriceAt {
        /// Milliseconds since the epoch. Default: one minute ago.
        time_ms: Option<i64>,
        /// Take the last trade up to the time instead of the nearest one.
        as_of: bool,
    },
    /// The extremes of a minute.
    HighLow {
        /// Any instant inside the minute, in milliseconds since the epoch. Default: the last whole minute.
        minute_ms: Option<i64>,
    },
    /// The candles from the one that holds a time.
    Candles {
        /// Any instant inside the first candle, in milliseconds since the epoch. Default: 1 h ago.
        since_ms: Option<i64>,
        /// The length of a candle in milliseconds. Default: 1 min.
        every_ms: Option<i64>,
    },
    /// What the minutes from the one that holds a time on add up to, in milliseconds since the epoch.
    Minutes {
        /// Any instant inside the first minute. Default: 1 h ago.
        since_ms: Option<i64>,
        /// Up to but not including there. Default: 48 h ahead.
        until_ms: Option<i64>,
    },
    /// The minutes since a time, in milliseconds since the epoch.
    Gaps {
        /// The oldest trades that count. Default: 24 h ago.
        since_ms: Option<i64>,
        /// Up to but not including there. Default: 48 h ahead.
        until_ms: Option<i64>,
        /// Every minute, not only those where something is missing.
        all: bool,
    },
    /// The trade ids of a stretch of time, in milliseconds since the epoch.
    Ids {
        /// From here. Default: two minutes ago.
        from_ms: Option<i64>,
        /// Up to but not including there. Default: one minute ago.
        until_ms: Option<i64>,
    },
    /// The trades of a stretch of time, in milliseconds since the epoch.
    Trades {
        /// From here. Default: two minutes ago.
        from_ms: Option<i64>,
        /// Up to but not including there. Default: one minute ago.
        until_ms: Option<i64>,
        /// A row a field instead of one a trade.
        by_field: bool,
    },
    /// Which minutes are verified, of a stretch of time in milliseconds since the epoch.
    Verified {
        /// Any instant inside the first minute. Default: 24 h ago.
        since_ms: Option<i64>,
        /// Up to but not including there. Default: 48 h ahead.
        until_ms: Option<i64>,
        /// Every minute on which there is a verdict, instead of how many and those that are not verified.
        all: bool,
    },
    /// The points of a stretch of time that are no trades, in milliseconds since the epoch.
    Foreign {
        /// From here. Default: 24 h ago.
        since_ms: Option<i64>,
        /// Up to but not including there. Default: 48 h ahead.
        until_ms: Option<i64>,
    },
}

impl Question {
    /// The script that answers it.
    #[must_use]
    pub const fn script(&self) -> Script {
        match self {
            Self::Latest => Script::Latest,
            Self::PriceAt { .. } => Script::PriceAt,
            Self::HighLow { .. } => Script::HighLow,
            Self::Candles { .. } => Script::Candles,
            Self::Minutes { .. } => Script::Minutes,
            Self::Gaps { .. } => Script::Gaps,
            Self::Ids { .. } => Script::Ids,
            Self::Trades { .. } => Script::Trades,
            Self::Foreign { .. } => Script::Foreign,
            Self::Verified { .. } => Script::Verified,
        }
    }
}

/// Where to look: the parameters that every script has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selection<'a> {
    /// The bucket's name.
    pub bucket: &'a str,
    /// The symbols asked for; empty means every symbol in the bucket.
    pub symbols: &'a [String],
    /// The exchanges asked for; empty means every exchange in the bucket.
    pub exchanges: &'a [String],
}

/// A time that Flux cannot hold: its times are nanoseconds in 64 bits, 1677 to 2262.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the time {0} ms since the epoch is outside the years that Flux can hold, 1678 to 2261")]
pub struct TimeOutOfRange(pub i64);

/// Why a script cannot be given with these values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// The script has no such parameter.
    #[error("{script}.flux has no parameter {name}")]
    Unknown {
        /// The script's name.
        script: &'static str,
        /// The parameter's name.
        name: &'static str,
    },
    /// A time that it cannot hold.
    #[error(transparent)]
    Time(#[from] TimeOutOfRange),
}

/// `script` with these parameters set, by name; the others keep their defaults.
///
/// # Errors
///
/// [`SetError`] if the script has no such parameter, or a time lies outside the years 1678 to 2261.
pub fn set(script: Script, values: &[(&'static str, Value)]) -> Result<String, SetError> {
    let has = |name: &str| script.source().lines().any(|line| assigns(line, name));
    if let Some((name, _)) = values.iter().find(|(name, _)| !has(name)) {
        return Err(SetError::Unknown { script: script.name(), name });
    }
    Ok(assign(script.source(), values)?)
}

/// The script that answers `question`, with its parameters filled in.
///
/// # Errors
///
/// [`TimeOutOfRange`] if a time lies outside the years 1678 to 2261.
pub fn render(question: &Question, selection: &Selection<'_>) -> Result<String, TimeOutOfRange> {
    let mut values = vec![
        ("bucket", Value::Text(selection.bucket.to_owned())),
        ("symbols", Value::Texts(selection.symbols.to_vec())),
        ("exchanges", Value::Texts(selection.exchanges.to_vec())),
    ];
    let times = match *question {
        Question::Latest => vec![],
        Question::HighLow { minute_ms } => vec![("minute", minute_ms)],
        Question::PriceAt { time_ms, as_of } => {
            values.push(("as_of", Value::Flag(as_of)));
            vec![("time", time_ms)]
        }
        Question::Candles { since_ms, every_ms } => {
            values.extend(every_ms.map(|ms| ("every", Value::DurationMs(ms))));
            vec![("since", since_ms)]
        }
        Question::Gaps { since_ms, until_ms, all } | Question::Verified { since_ms, until_ms, all } => {
            values.push(("all", Value::Flag(all)));
            vec![("since", since_ms), ("until", until_ms)]
        }
        Question::Ids { from_ms, until_ms } => vec![("from_time", from_ms), ("until_time", until_ms)],
        Question::Trades { from_ms, until_ms, by_field } => {
            values.push(("by_field", Value::Flag(by_field)));
            vec![("from_time", from_ms), ("until_time", until_ms)]
        }
        Question::Minutes { since_ms, until_ms } | Question::Foreign { since_ms, until_ms } => {
            vec![("since", since_ms), ("until", until_ms)]
        }
    };
    values.extend(times.into_iter().filter_map(|(name, ms)| Some((name, Value::TimeMs(ms?)))));
    assign(question.script().source(), &values)
}

fn literal(value: &Value) -> Result<String, TimeOutOfRange> {
    Ok(match value {
        Value::Text(text) => string(text),
        Value::Texts(texts) => array(texts),
        Value::TimeMs(ms) => time(*ms)?,
        Value::DurationMs(ms) => duration(*ms),
        Value::Flag(flag) => flag.to_string(),
    })
}

/// Replaces the lines `name = …` of `source`: only those that start with the name, not a mention inside an expression.
fn assign(source: &str, values: &[(&str, Value)]) -> Result<String, TimeOutOfRange> {
    let mut out = String::with_capacity(source.len() + 128);
    for line in source.lines() {
        match values.iter().find(|(name, _)| assigns(line, name)) {
            Some((name, value)) => {
                out.push_str(name);
                out.push_str(" = ");
                out.push_str(&literal(value)?);
            }
            None => out.push_str(line),
        }
        out.push('\n');
    }
    Ok(out)
}

fn assigns(line: &str, name: &str) -> bool {
    line.strip_prefix(name).is_some_and(|rest| rest.starts_with(" = "))
}

/// A Flux string literal on one line. `${` would begin an expression, and the scanner fails on a `$` before an escape
/// (`"$\\"`), so a `$` is always written as its code.
pub(crate) fn string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == '$' || c.is_ascii_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn array(items: &[String]) -> String {
    let items: Vec<String> = items.iter().map(|item| string(item)).collect();
    format!("[{}]", items.join(", "))
}

fn duration(ms: i64) -> String {
    format!("{ms}ms")
}

fn time(ms: i64) -> Result<String, TimeOutOfRange> {
    // Whole years inside the limits of 64-bit nanoseconds, so that the scripts can add to a time.
    const FIRST: i64 = -9_214_560_000_000; // 1678-01-01
    const END: i64 = 9_214_646_400_000; // 2262-01-01
    DateTime::from_timestamp_millis(ms)
        .filter(|_| (FIRST..END).contains(&ms))
        .map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
        .ok_or(TimeOutOfRange(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parameters of each script and their defaults, as the files must have them.
    fn parameters(script: Script) -> Vec<(&'static str, &'static str)> {
        let mut all = vec![("bucket", "\"ticks\""), ("symbols", "[]"), ("exchanges", "[]")];
        match script {
            Script::Latest => all.push(("graph", "false")),
            Script::PriceAt => all.extend([("time", "-1m"), ("as_of", "false")]),
            Script::HighLow => all.push(("minute", "-1m")),
            Script::Candles | Script::Volume => all.extend([("since", "-1h"), ("every", "1m"), ("graph", "false")]),
            Script::Minutes => all.extend([("since", "-1h"), ("until", "48h")]),
            Script::Gaps | Script::Verified => {
                all.extend([("since", "-24h"), ("until", "48h"), ("all", "false")]);
            }
            Script::Ids => all.extend([("from_time", "-2m"), ("until_time", "-1m")]),
            Script::Trades => all.extend([("from_time", "-2m"), ("until_time", "-1m"), ("by_field", "false")]),
            Script::Foreign => all.extend([("since", "-24h"), ("until", "48h")]),
        }
        all
    }

    /// The questions, with every parameter set that they have.
    fn questions() -> impl Iterator<Item = (Script, Question)> {
        Script::ALL.into_iter().filter_map(|script| Some((script, question(script)?)))
    }

    fn question(script: Script) -> Option<Question> {
        let ms = Some(1_795_447_504_127);
        Some(match script {
            Script::Latest => Question::Latest,
            Script::PriceAt => Question::PriceAt { time_ms: ms, as_of: true },
            Script::HighLow => Question::HighLow { minute_ms: ms },
            Script::Candles => Question::Candles { since_ms: ms, every_ms: Some(90_500) },
            // For people alone.
            Script::Volume => return None,
            Script::Minutes => Question::Minutes { since_ms: ms, until_ms: ms },
            Script::Gaps => Question::Gaps { since_ms: ms, until_ms: ms, all: true },
            Script::Ids => Question::Ids { from_ms: ms, until_ms: ms },
            Script::Trades => Question::Trades { from_ms: ms, until_ms: ms, by_field: true },
            Script::Foreign => Question::Foreign { since_ms: ms, until_ms: ms },
            Script::Verified => Question::Verified { since_ms: ms, until_ms: ms, all: true },
        })
    }

    fn owned(items: &[&str]) -> Vec<String> {
        items.iter().map(ToString::to_string).collect()
    }

    /// The value that `text` assigns to `name`.
    fn assigned<'a>(text: &'a str, name: &str) -> &'a str {
        let mut lines = text.lines().filter(|line| assigns(line, name));
        let line = lines.next().unwrap();
        assert_eq!(lines.next(), None, "{name} is assigned twice");
        &line[name.len() + 3..]
    }

    #[test]
    fn the_marked_block_holds_every_parameter_exactly_once_and_no_other() {
        for script in Script::ALL {
            assert_eq!(Script::from_name(script.name()), Some(script));
            let after = script.source().split_once("// ---- Parameters").unwrap().1;
            let block = after.split_once("// ---- End of parameters").unwrap().0;
            let lines = block.lines().filter(|line| !line.starts_with("//"));
            let found: Vec<_> = lines.filter_map(|line| line.split_once(" = ")).collect();
            assert_eq!(found, parameters(script), "{}", script.name());
            for (name, default) in parameters(script) {
                assert_eq!(assigned(script.source(), name), default, "{name} in {}", script.name());
            }
        }
    }

    #[test]
    fn what_several_files_have_in_common_is_the_same_in_each() {
        for (begin, end, least) in [
            ("// ---- What a trade is", "// ---- End of what a trade is", 2),
            ("// ---- The trades next to a time", "// ---- End of the trades next to a time", 2),
            ("// ---- How to read a stretch", "// ---- End of how to read a stretch", 2),
            ("// ---- What a window adds up", "// ---- End of what a window adds up", 2),
        ] {
            let blocks: Vec<_> = Script::ALL
                .iter()
                .filter_map(|script| script.source().split_once(begin)?.1.split_once(end))
                .map(|(block, _)| block)
                .collect();
            assert!(blocks.len() >= least, "{begin}");
            assert!(blocks.windows(2).all(|pair| pair[0] == pair[1]), "{begin}");
        }
    }

    #[test]
    fn rendering_replaces_every_parameter_and_nothing_else() {
        let (symbols, exchanges) = (owned(&["BTCUSDT", "币安人生USDT"]), owned(&["practice"]));
        let selection = Selection { bucket: "b", symbols: &symbols, exchanges: &exchanges };
        for (script, question) in questions() {
            let text = render(&question, &selection).unwrap();
            // A graph is for people.
            let asked = parameters(script).into_iter().filter(|(name, _)| *name != "graph");
            let asked: Vec<_> = asked.collect();
            for (name, default) in &asked {
                assert_ne!(assigned(&text, name), *default, "{name} in {}", script.name());
            }
            let changed = text.lines().zip(script.source().lines()).filter(|(new, old)| new != old).count();
            assert_eq!(changed, asked.len());
            assert_eq!(assigned(&text, "bucket"), "\"b\"");
            assert_eq!(assigned(&text, "symbols"), "[\"BTCUSDT\", \"币安人生USDT\"]");
            assert_eq!(assigned(&text, "exchanges"), "[\"practice\"]");
        }
        let text = render(&question(Script::PriceAt).unwrap(), &selection).unwrap();
        assert_eq!(assigned(&text, "time"), "2026-11-23T15:25:04.127Z");
        assert_eq!(assigned(&text, "as_of"), "true");
        let text = render(&question(Script::Candles).unwrap(), &selection).unwrap();
        assert_eq!(assigned(&text, "every"), "90500ms");
    }

    #[test]
    fn the_defaults_render_to_the_file_itself() {
        let selection = Selection { bucket: "ticks", symbols: &[], exchanges: &[] };
        for question in [
            Question::Latest,
            Question::PriceAt { time_ms: None, as_of: false },
            Question::HighLow { minute_ms: None },
            Question::Candles { since_ms: None, every_ms: None },
        ] {
            assert_eq!(render(&question, &selection).unwrap(), question.script().source());
        }
    }

    #[test]
    fn a_parameter_is_set_by_its_name_and_only_where_it_is_one() {
        let text =
            set(Script::PriceAt, &[("time", Value::DurationMs(-300_000)), ("as_of", Value::Flag(true))]).unwrap();
        assert_eq!((assigned(&text, "time"), assigned(&text, "as_of")), ("-300000ms", "true"));
        assert_eq!(assigned(&text, "bucket"), "\"ticks\"", "others keep their defaults");
        assert_eq!(set(Script::Latest, &[]).unwrap(), Script::Latest.source());
        let unknown = set(Script::Latest, &[("time", Value::TimeMs(0))]).unwrap_err();
        assert_eq!(unknown.to_string(), "latest.flux has no parameter time");
        assert!(set(Script::PriceAt, &[("time", Value::TimeMs(i64::MAX))]).is_err());
    }

    #[test]
    fn no_string_can_leave_its_literal() {
        for (text, literal) in [
            ("BTCUSDT", r#""BTCUSDT""#),
            (r#"a"] drop()"#, r#""a\"] drop()""#),
            (r"a\", r#""a\\""#),
            (r#"\""#, r#""\\\"""#),
            ("${bucket}", r#""\x24{bucket}""#),
            (r"$\", r#""\x24\\""#),
            ("币安人生USDT", "\"币安人生USDT\""),
            ("a\nbucket = \"x\"\r\t", r#""a\nbucket = \"x\"\r\t""#),
            ("\0\u{7f}", r#""\x00\x7f""#),
        ] {
            assert_eq!(string(text), literal);
        }
    }

    #[test]
    fn a_hostile_value_stays_on_its_line() {
        let hostile = owned(&["x\"]\nbucket = \"other\"\nsymbols = [\"y"]);
        let selection = Selection { bucket: "ticks\"\nas_of = true", symbols: &hostile, exchanges: &hostile };
        for (script, question) in questions() {
            let text = render(&question, &selection).unwrap();
            assert_eq!(text.lines().count(), script.source().lines().count());
            assert_eq!(assigned(&text, "bucket"), r#""ticks\"\nas_of = true""#);
        }
    }

    #[test]
    fn times_outside_flux_are_refused() {
        assert_eq!(time(-9_214_560_000_000).unwrap(), "1678-01-01T00:00:00.000Z");
        assert_eq!(time(9_214_646_399_999).unwrap(), "2261-12-31T23:59:59.999Z");
        for ms in [i64::MIN, -9_214_560_000_001, 9_214_646_400_000, i64::MAX] {
            assert_eq!(time(ms), Err(TimeOutOfRange(ms)));
        }
    }
}
