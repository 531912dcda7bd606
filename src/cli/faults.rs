//! Faults of the practice exchange: flags, or a plan in a file with the same names.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Deserializer};

use super::Failure;
use super::time::duration;
use crate::practice::faults::Faults;
use crate::text::Excerpt;

/// Bytes of a plan, at most: every flag's name and value fit many times.
const PLAN_BYTES_MAX: u64 = 64 << 10;
/// How long a silent connection keeps silent, unless told otherwise.
const SILENCE: Duration = Duration::from_secs(5);

/// What goes wrong; shares are `5%` or `0.05`, times `2s`.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[command(next_help_heading = "Faults")]
pub(super) struct FaultArgs {
    /// A plan: a JSON object of these flags' names and values; flags win over it
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    faults: Option<PathBuf>,
    /// The same seed gives the same faults
    #[arg(long, value_name = "N")]
    fault_seed: Option<u64>,
    /// Nothing goes wrong any more after so long
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    #[serde(deserialize_with = "time")]
    faults_for: Option<Duration>,
    /// Share of trades that streams drop
    #[arg(long, value_name = "SHARE", value_parser = share)]
    #[serde(deserialize_with = "read_share")]
    drop: Option<f64>,
    /// Share of trades that streams send twice
    #[arg(long, value_name = "SHARE", value_parser = share)]
    #[serde(deserialize_with = "read_share")]
    duplicate: Option<f64>,
    /// Share of trades that streams send behind later ones
    #[arg(long, value_name = "SHARE", value_parser = share)]
    #[serde(deserialize_with = "read_share")]
    reorder: Option<f64>,
    /// Share of messages that garbage follows
    #[arg(long, value_name = "SHARE", value_parser = share)]
    #[serde(deserialize_with = "read_share")]
    malformed: Option<f64>,
    /// A connection breaks after so long
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    #[serde(deserialize_with = "time")]
    cut_every: Option<Duration>,
    /// A connection falls silent every so often, without closing
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    #[serde(deserialize_with = "time")]
    silence_every: Option<Duration>,
    /// How long it is silent [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    #[serde(deserialize_with = "time")]
    silence: Option<Duration>,
    /// A connection announces its end after so long (serverShutdown), and closes 5 s later
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    #[serde(deserialize_with = "time")]
    shutdown_every: Option<Duration>,
    /// Every symbol's ids begin again at 1 after so many trades
    #[arg(long, value_name = "N")]
    reset_after: Option<u64>,
    /// REST answers take so long
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    #[serde(deserialize_with = "time")]
    rest_delay: Option<Duration>,
    /// REST has trades only after so long
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    #[serde(deserialize_with = "time")]
    rest_lag: Option<Duration>,
    /// Share of REST pages that hold fewer trades than there are
    #[arg(long, value_name = "SHARE", value_parser = share)]
    #[serde(deserialize_with = "read_share")]
    rest_short: Option<f64>,
    /// Share of REST pages that begin later than asked
    #[arg(long, value_name = "SHARE", value_parser = share)]
    #[serde(deserialize_with = "read_share")]
    rest_shifted: Option<f64>,
    /// Share of REST pages with a row whose price is 0
    #[arg(long, value_name = "SHARE", value_parser = share)]
    #[serde(deserialize_with = "read_share")]
    rest_bad_row: Option<f64>,
    /// Share of REST requests answered with 429
    #[arg(long, value_name = "SHARE", value_parser = share)]
    #[serde(deserialize_with = "read_share")]
    rest_429: Option<f64>,
    /// Share of REST requests answered with 418
    #[arg(long, value_name = "SHARE", value_parser = share)]
    #[serde(deserialize_with = "read_share")]
    rest_418: Option<f64>,
    /// Share of REST requests answered with 500
    #[arg(long, value_name = "SHARE", value_parser = share)]
    #[serde(deserialize_with = "read_share")]
    rest_500: Option<f64>,
    /// Share of REST requests answered with 451
    #[arg(long, value_name = "SHARE", value_parser = share)]
    #[serde(deserialize_with = "read_share")]
    rest_451: Option<f64>,
    /// Every opening of a stream is answered with 451, as from a restricted location
    #[arg(long)]
    stream_451: bool,
}

impl FaultArgs {
    /// What goes wrong: the flags, and the plan where they say nothing.
    pub(super) fn faults(self) -> Result<Faults, Failure> {
        let plan = self.faults.as_deref().map_or_else(|| Ok(Self::default()), read_plan)?;
        let silence_every = self.silence_every.or(plan.silence_every);
        Ok(Faults {
            seed: self.fault_seed.or(plan.fault_seed).unwrap_or(1),
            ends_after: self.faults_for.or(plan.faults_for),
            drop: self.drop.or(plan.drop).unwrap_or_default(),
            duplicate: self.duplicate.or(plan.duplicate).unwrap_or_default(),
            reorder: self.reorder.or(plan.reorder).unwrap_or_default(),
            malformed: self.malformed.or(plan.malformed).unwrap_or_default(),
            cut_every: self.cut_every.or(plan.cut_every),
            silence_every,
            silence: self.silence.or(plan.silence).unwrap_or(SILENCE),
            shutdown_every: self.shutdown_every.or(plan.shutdown_every),
            reset_after: self.reset_after.or(plan.reset_after),
            rest_delay: self.rest_delay.or(plan.rest_delay).unwrap_or_default(),
            rest_lag: self.rest_lag.or(plan.rest_lag).unwrap_or_default(),
            rest_short: self.rest_short.or(plan.rest_short).unwrap_or_default(),
            rest_shifted: self.rest_shifted.or(plan.rest_shifted).unwrap_or_default(),
            rest_bad_row: self.rest_bad_row.or(plan.rest_bad_row).unwrap_or_default(),
            stream_451: self.stream_451 || plan.stream_451,
            rest_status: [
                self.rest_429.or(plan.rest_429),
                self.rest_418.or(plan.rest_418),
                self.rest_500.or(plan.rest_500),
                self.rest_451.or(plan.rest_451),
            ]
            .map(Option::unwrap_or_default),
        })
    }
}

fn read_plan(path: &Path) -> Result<FaultArgs, Failure> {
    let unusable = |why: &dyn std::fmt::Display| {
        let (path, why) = (path.display(), Excerpt::of(&why.to_string()));
        Failure::Usage(format!("cannot use the plan {path}: {why}: give a JSON object such as {{\"drop\": \"5%\"}}"))
    };
    let mut text = String::new();
    let file = File::open(path).map_err(|error| unusable(&error))?;
    file.take(PLAN_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| unusable(&error))?;
    if text.len() as u64 > PLAN_BYTES_MAX {
        return Err(unusable(&format!("more than {PLAN_BYTES_MAX} bytes")));
    }
    // Serde takes an array for a struct, too.
    let object: serde_json::Map<_, _> = serde_json::from_str(&text).map_err(|error| unusable(&error))?;
    serde_json::from_value(object.into()).map_err(|error| unusable(&error))
}

/// A share: `5%` or `0.05`.
fn share(text: &str) -> Result<f64, String> {
    let number = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map(|percent| percent / 100.0),
        None => text.parse(),
    };
    let share = number.ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "expected a share from 0% to 100%, such as 5% or 0.05".to_owned())
}

fn read_share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let text = String::deserialize(deserializer)?;
    share(&text).map(Some).map_err(serde::de::Error::custom)
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    duration(&text).map(Some).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_percent_or_numbers() {
        assert_eq!([share("5%"), share("0.05"), share("100 %")], [Ok(0.05), Ok(0.05), Ok(1.0)]);
        for text in ["", "5", "-1%", "101%", "NaN", "five"] {
            assert!(share(text).is_err(), "{text}");
        }
    }

    #[test]
    fn flags_win_over_the_plan() {
        let plan = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(plan.path(), r#"{"drop": "5%", "cut-every": "2s", "rest-429": "1%", "reset-after": 9}"#)
            .unwrap();
        let faults = FaultArgs { faults: Some(plan.path().to_owned()), drop: Some(0.5), ..FaultArgs::default() };
        let faults = faults.faults().unwrap();
        assert_eq!((faults.drop, faults.cut_every), (0.5, Some(Duration::from_secs(2))));
        assert_eq!((faults.rest_status[0], faults.reset_after), (0.01, Some(9)));
        assert_eq!(FaultArgs::default().faults().unwrap(), Faults { seed: 1, silence: SILENCE, ..Faults::default() });
    }

    #[test]
    fn a_plan_that_is_none_says_so() {
        let plan = tempfile::NamedTempFile::new().unwrap();
        let wrong =
            ["", "[]", r#"{"dorp": "5%"}"#, r#"{"drop": 5}"#, r#"{"drop": "5"}"#, r#"{"cut-every": "11years"}"#];
        let too_long = format!(r#"{{"drop": "5%"{}}}"#, " ".repeat(64 << 10));
        for text in wrong.into_iter().chain([too_long.as_str()]) {
            std::fs::write(plan.path(), text).unwrap();
            let faults = FaultArgs { faults: Some(plan.path().to_owned()), ..FaultArgs::default() };
            assert!(faults.faults().unwrap_err().to_string().contains("cannot use the plan"), "{text}");
        }
        let endless = FaultArgs { faults: Some("/dev/zero".into()), ..FaultArgs::default() };
        assert!(endless.faults().unwrap_err().to_string().contains("65536 bytes"));
    }
}
