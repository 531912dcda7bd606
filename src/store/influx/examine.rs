//! What can be found out about an InfluxDB before anything is written: one fact each, whatever the others are.

use reqwest::header::{HeaderMap, HeaderName};

use super::control::{Bucket, CONTROL_TIMEOUT};
use super::rules::{OwnWords, Rule, Sent, WriteAnswer, rule};
use super::{Influx, quoted};
use crate::store::{Scope, StoreError, StoredTrade};
use crate::text::Excerpt;

/// InfluxDB's own name for its version, in the head of `/ping`.
const VERSION: HeaderName = HeaderName::from_static("x-influxdb-version");

/// What was found.
#[derive(Debug)]
pub struct Examination {
    /// The version that it tells.
    pub version: Option<Excerpt>,
    /// What it says to a write of nothing.
    pub write: WriteSaid,
    /// The bucket; `None` if there is none of that name that the token may look at.
    pub bucket: Result<Option<Bucket>, StoreError>,
    /// The newest trades, asked for with Flux: [`StoreError::Settings`] if the token may not read, or there is nothing to.
    pub latest: Result<Vec<StoredTrade>, StoreError>,
}

/// What an InfluxDB, or who else is there, says to a write of nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteSaid {
    /// The token may write.
    Allowed,
    /// InfluxDB refuses, in its own words.
    Refused {
        /// The HTTP status.
        status: u16,
        /// Who said what.
        why: String,
        /// What to do.
        advice: &'static str,
    },
    /// It answers, and takes nothing now.
    Away(String),
    /// What answers is no InfluxDB.
    Foreign {
        /// Who said what.
        why: String,
        /// What to do.
        advice: &'static str,
    },
    /// No answer.
    Silent(String),
}

impl Influx {
    /// Finds out what a capture, and those who ask, will find. Nothing is written: the write that is tried is empty.
    ///
    /// # Cancel safety
    ///
    /// Safe: it changes nothing.
    pub async fn examine(&self, scope: &Scope) -> Examination {
        let (version, write, bucket, latest) =
            tokio::join!(self.version(), self.try_write(), self.find_bucket(), self.ask_latest(scope));
        Examination { version, write, bucket, latest }
    }

    async fn version(&self) -> Option<Excerpt> {
        let reply = self.http.get(format!("{}/ping", self.base)).timeout(CONTROL_TIMEOUT).send().await.ok()?;
        version(reply.headers())
    }

    async fn try_write(&self) -> WriteSaid {
        match self.write_nothing().await {
            Ok((status, body)) => self.heard(status, &body),
            Err(error) => WriteSaid::Silent(error.to_string()),
        }
    }

    fn heard(&self, status: u16, body: &str) -> WriteSaid {
        let said = || self.said(status, body);
        let is_own = serde_json::from_str::<OwnWords>(body).is_ok();
        let answer = WriteAnswer { status, body, retry_after: None };
        match rule(answer, Sent { lone_line: Some(""), attempt: 0 }) {
            Rule::Stored => WriteSaid::Allowed,
            Rule::Hold(advice) if is_own => WriteSaid::Refused { status, why: said(), advice },
            Rule::Hold(advice) => WriteSaid::Foreign { why: self.no_influxdb(status, &quoted(body)), advice },
            _ => WriteSaid::Away(said()),
        }
    }
}

fn version(headers: &HeaderMap) -> Option<Excerpt> {
    headers.get(VERSION).map(|version| Excerpt::of_bytes(version.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Network;
    use crate::net::endpoint::{Endpoint, Service};
    use crate::store::influx::{Credentials, InfluxSettings, Token};
    use crate::trade::TradeTime;

    #[test]
    fn who_answers_a_write_of_nothing_is_told_apart_by_its_own_words() {
        let url = Endpoint::new(Service::Influx, "http://influx:8086").unwrap();
        let credentials = Credentials::fixed(Token::new("an-example").unwrap());
        let (org, bucket) = ("tickflux".to_owned(), "ticks".to_owned());
        let settings = InfluxSettings { url, network: Network::local().unwrap(), org, bucket, credentials };
        let influx = Influx::new(settings, "binance".parse().unwrap(), || TradeTime::EPOCH).unwrap();
        let own = r#"{"code":"unauthorized","message":"unauthorized access"}"#;
        assert_eq!(influx.heard(204, ""), WriteSaid::Allowed);
        assert!(
            matches!(influx.heard(401, own), WriteSaid::Refused { status: 401, advice, .. } if advice.contains("token"))
        );
        for (status, body) in [(200, "<html>login</html>"), (401, "<html>login</html>"), (404, ""), (302, "")] {
            let said = influx.heard(status, body);
            assert!(matches!(&said, WriteSaid::Foreign { why, .. } if why.contains("no InfluxDB")), "{said:?}");
        }
        let tls = influx.heard(400, "Client sent an HTTP request to an HTTPS server.");
        assert!(matches!(tls, WriteSaid::Foreign { advice, .. } if advice.contains("https://")));
        assert!(matches!(influx.heard(503, own), WriteSaid::Away(_)));
    }
}
