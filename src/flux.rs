//! The bundled Flux scripts and their parameters.
//!
//! The files in `flux/` run as they are, in the influx CLI and in the Data Explorer. Here the same text is rendered
//! for one question: each parameter stands on a line of its own, `name = default`, and that line is replaced.
//! Values are typed and written as Flux literals, so no value can become code.

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
}

impl Script {
    /// Every bundled script.
    pub const ALL: [Self; 3] = [Self::Latest, Self::PriceAt, Self::HighLow];

    /// The name of its file in `flux/`, without the suffix.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Latest => "latest",
            Self::PriceAt => "price_at",
            Self::HighLow => "high_low",
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
        }
    }
}

/// What to ask. The variant names the script and carries the parameters that only it has; `None` keeps the default.
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
}

impl Question {
    /// The script that answers it.
    #[must_use]
    pub const fn script(&self) -> Script {
        match self {
            Self::Latest => Script::Latest,
            Self::PriceAt { .. } => Script::PriceAt,
            Self::HighLow { .. } => Script::HighLow,
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

/// The script that answers `question`, with its parameters filled in.
///
/// # Errors
///
/// [`TimeOutOfRange`] if a time lies outside the years 1678 to 2261.
pub fn render(question: &Question, selection: &Selection<'_>) -> Result<String, TimeOutOfRange> {
    let mut values = vec![
        ("bucket", string(selection.bucket)),
        ("symbols", array(selection.symbols)),
        ("exchanges", array(selection.exchanges)),
    ];
    match *question {
        Question::Latest => {}
        Question::PriceAt { time_ms, as_of } => {
            if let Some(ms) = time_ms {
                values.push(("time", time(ms)?));
            }
            values.push(("as_of", as_of.to_string()));
        }
        Question::HighLow { minute_ms } => {
            if let Some(ms) = minute_ms {
                values.push(("minute", time(ms)?));
            }
        }
    }
    Ok(assign(question.script().source(), &values))
}

/// Replaces the lines `name = …` of `source`. Only lines that start with the name count, so a mention in a comment
/// or inside an expression stays as it is.
fn assign(source: &str, values: &[(&str, String)]) -> String {
    let mut out = String::with_capacity(source.len() + 128);
    for line in source.lines() {
        match values.iter().find(|(name, _)| assigns(line, name)) {
            Some((name, value)) => {
                out.push_str(name);
                out.push_str(" = ");
                out.push_str(value);
            }
            None => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

fn assigns(line: &str, name: &str) -> bool {
    line.strip_prefix(name).is_some_and(|rest| rest.starts_with(" = "))
}

/// A Flux string literal on one line. Flux interpolates `${…}` inside strings, so `${` is escaped too; a `$` alone
/// must not be.
fn string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '$' if rest.peek() == Some(&'{') => out.push_str("\\$"),
            c if c.is_ascii_control() => {
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

fn time(ms: i64) -> Result<String, TimeOutOfRange> {
    // One whole year inside the limits of 64-bit nanoseconds, so that the scripts can add hours to a time.
    const FIRST: i64 = -9_214_560_000_000; // 1678-01-01
    const END: i64 = 9_214_646_400_000; // 2262-01-01
    DateTime::from_timestamp_millis(ms)
        .filter(|_| (FIRST..END).contains(&ms))
        .map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
        .ok_or(TimeOutOfRange(ms))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The parameters of each script and their defaults, as the files must have them.
    fn parameters(script: Script) -> Vec<(&'static str, &'static str)> {
        let mut all = vec![("bucket", "\"ticks\""), ("symbols", "[]"), ("exchanges", "[]")];
        match script {
            Script::Latest => {}
            Script::PriceAt => all.extend([("time", "-1m"), ("as_of", "false")]),
            Script::HighLow => all.push(("minute", "-1m")),
        }
        all
    }

    fn question(script: Script) -> Question {
        let ms = Some(1_795_447_504_127);
        match script {
            Script::Latest => Question::Latest,
            Script::PriceAt => Question::PriceAt { time_ms: ms, as_of: true },
            Script::HighLow => Question::HighLow { minute_ms: ms },
        }
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
    fn every_parameter_has_its_default_line_exactly_once() {
        for script in Script::ALL {
            for (name, default) in parameters(script) {
                assert_eq!(assigned(script.source(), name), default, "{name} in {}", script.name());
            }
        }
    }

    #[test]
    fn the_marked_block_holds_exactly_the_known_parameters() {
        for script in Script::ALL {
            let block = script.source().split("// ----").nth(1).unwrap();
            let found: Vec<_> = block
                .lines()
                .filter(|line| !line.starts_with("//"))
                .filter_map(|line| line.split_once(" = "))
                .collect();
            assert_eq!(found, parameters(script), "{}", script.name());
        }
    }

    #[test]
    fn rendering_replaces_every_parameter_and_nothing_else() {
        let (symbols, exchanges) = (owned(&["BTCUSDT", "币安人生USDT"]), owned(&["practice"]));
        let selection = Selection { bucket: "b", symbols: &symbols, exchanges: &exchanges };
        for script in Script::ALL {
            let text = render(&question(script), &selection).unwrap();
            for (name, default) in parameters(script) {
                assert_ne!(assigned(&text, name), default, "{name} in {}", script.name());
            }
            assert_eq!(text.lines().count(), script.source().lines().count());
            let changed = text.lines().zip(script.source().lines()).filter(|(new, old)| new != old).count();
            assert_eq!(changed, parameters(script).len());
            assert_eq!(assigned(&text, "bucket"), "\"b\"");
            assert_eq!(assigned(&text, "symbols"), "[\"BTCUSDT\", \"币安人生USDT\"]");
            assert_eq!(assigned(&text, "exchanges"), "[\"practice\"]");
        }
        let text = render(&question(Script::PriceAt), &selection).unwrap();
        assert_eq!(assigned(&text, "time"), "2026-11-23T15:25:04.127Z");
        assert_eq!(assigned(&text, "as_of"), "true");
        let text = render(&question(Script::HighLow), &selection).unwrap();
        assert_eq!(assigned(&text, "minute"), "2026-11-23T15:25:04.127Z");
    }

    #[test]
    fn the_defaults_render_to_the_file_itself() {
        let selection = Selection { bucket: "ticks", symbols: &[], exchanges: &[] };
        for question in
            [Question::Latest, Question::PriceAt { time_ms: None, as_of: false }, Question::HighLow { minute_ms: None }]
        {
            assert_eq!(render(&question, &selection).unwrap(), question.script().source());
        }
    }

    #[test]
    fn names_lead_back_to_their_scripts() {
        for script in Script::ALL {
            assert_eq!(Script::from_name(script.name()), Some(script));
        }
        assert_eq!(Script::from_name("latest.flux"), None);
    }

    #[test]
    fn no_string_can_leave_its_literal() {
        for (text, literal) in [
            ("BTCUSDT", r#""BTCUSDT""#),
            (r#"a"] drop()"#, r#""a\"] drop()""#),
            (r"a\", r#""a\\""#),
            (r#"\""#, r#""\\\"""#),
            ("${bucket}", r#""\${bucket}""#),
            (r"\${x}", r#""\\\${x}""#),
            ("$$", r#""$$""#),
            ("$${", r#""$\${""#),
            ("a\nbucket = \"x\"\r\t", r#""a\nbucket = \"x\"\r\t""#),
            ("\0\u{7f}", r#""\x00\x7f""#),
            ("", r#""""#),
        ] {
            assert_eq!(string(text), literal);
        }
    }

    #[test]
    fn a_hostile_value_stays_on_its_line() {
        let hostile = owned(&["x\"]\nbucket = \"other\"\nsymbols = [\"y"]);
        let selection = Selection { bucket: "ticks\"\nas_of = true", symbols: &hostile, exchanges: &hostile };
        for script in Script::ALL {
            let text = render(&question(script), &selection).unwrap();
            assert_eq!(text.lines().count(), script.source().lines().count());
            assert_eq!(assigned(&text, "bucket"), r#""ticks\"\nas_of = true""#);
        }
    }

    #[test]
    fn times_outside_flux_are_refused() {
        assert_eq!(time(0).unwrap(), "1970-01-01T00:00:00.000Z");
        assert_eq!(time(-9_214_560_000_000).unwrap(), "1678-01-01T00:00:00.000Z");
        assert_eq!(time(9_214_646_399_999).unwrap(), "2261-12-31T23:59:59.999Z");
        for ms in [i64::MIN, -9_214_560_000_001, 9_214_646_400_000, i64::MAX] {
            assert_eq!(time(ms), Err(TimeOutOfRange(ms)));
        }
    }
}
