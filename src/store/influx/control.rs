//! The control plane: rights, bucket, retention.
//!
//! Endpoints as in InfluxDB's v2 API reference: `/api/v2/write`, `/api/v2/orgs`, `/api/v2/buckets`.

use std::time::Duration;

use reqwest::header::AUTHORIZATION;
use reqwest::{Method, RequestBuilder, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::rules::{OwnWords, Rule, Sent, WriteAnswer, rule};
use super::{Influx, quoted};
use crate::net::body::{read_begin, read_whole};
use crate::store::{Checked, RETENTION, StoreError};

/// InfluxDB's default for a bucket that keeps a day; retention drops whole groups.
const SHARD_GROUP_SECONDS: u64 = 3_600;
pub(super) const CONTROL_TIMEOUT: Duration = Duration::from_secs(10);
/// A bucket or an organization, by name, takes some hundred bytes.
const REPLY_BYTES_MAX: usize = 1 << 20;

/// A bucket as the API lists it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Bucket {
    id: String,
    #[serde(rename = "orgID", default)]
    org_id: String,
    name: String,
    #[serde(rename = "retentionRules", default)]
    rules: Vec<RetentionRule>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct RetentionRule {
    #[serde(rename = "type")]
    kind: String,
    every_seconds: u64,
    #[serde(default)]
    shard_group_duration_seconds: u64,
}

impl RetentionRule {
    fn wanted() -> Self {
        Self {
            kind: "expire".to_owned(),
            every_seconds: RETENTION.as_secs(),
            shard_group_duration_seconds: SHARD_GROUP_SECONDS,
        }
    }
}

impl Bucket {
    /// What tells this bucket from every other one, also from one of the same name that was made later.
    pub(super) fn store_id(&self) -> String {
        format!("bucket {} of organization {}", self.id, self.org_id)
    }

    /// Whether it keeps what `provision` makes: 24 h in groups of 1 h.
    pub fn is_as_wanted(&self) -> bool {
        self.rules == [RetentionRule::wanted()]
    }

    /// Retention and shard groups in words.
    pub fn keeps(&self) -> String {
        let hours = |seconds: u64| humantime::format_duration(Duration::from_secs(seconds)).to_string();
        match self.rules.first() {
            Some(rule) if rule.every_seconds > 0 => {
                format!("{} in groups of {}", hours(rule.every_seconds), hours(rule.shard_group_duration_seconds))
            }
            _ => "everything for ever".to_owned(),
        }
    }
}

/// What provisioning found or did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provisioned {
    /// The bucket was made.
    Created,
    /// The bucket was as it should be.
    Unchanged,
    /// The bucket kept something else, which was changed: what it was.
    Changed(String),
}

#[derive(Deserialize)]
struct Buckets {
    buckets: Vec<Bucket>,
}

#[derive(Deserialize)]
struct Orgs {
    orgs: Vec<Org>,
}

#[derive(Deserialize)]
struct Org {
    id: String,
    name: String,
}

impl Influx {
    /// An empty write tells whether a token may write, a write-only one too. No definite answer is no reason to end:
    /// InfluxDB may come up later.
    pub(super) async fn check_rights(&self) -> Result<Checked, StoreError> {
        let away = |why: String| {
            let why = format!("{why}: trades are kept in the outbox until it takes them");
            Ok(Checked { away: Some(why), ..Checked::default() })
        };
        let (status, body) = match self.write_nothing().await {
            Ok(answer) => answer,
            Err(error) => return away(error.to_string()),
        };
        let answer = WriteAnswer { status, body: &body, retry_after: None };
        match rule(answer, Sent { lone_line: Some(""), attempt: 0 }) {
            Rule::Stored => {}
            Rule::Hold(advice) => {
                return Err(StoreError::Settings(format!("{}: {advice}", self.said(status, &body))));
            }
            _ => return away(self.said(status, &body)),
        }
        // A write-only token may not look at the bucket; then there is nothing to warn of, and no id.
        let bucket = self.find_bucket().await.ok().flatten();
        let warning =
            bucket.as_ref().filter(|bucket| !bucket.is_as_wanted()).map(|bucket| self.retention_warning(bucket));
        let id = bucket.as_ref().map(Bucket::store_id);
        Ok(Checked { warnings: warning.into_iter().collect(), away: None, id })
    }

    fn retention_warning(&self, bucket: &Bucket) -> String {
        format!(
            "bucket {} keeps {}, not 24h in groups of 1h: tickflux provision --force changes it",
            self.bucket,
            bucket.keeps()
        )
    }

    /// Makes the bucket, or corrects it if `force`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Settings`] if the token may not, the organization is missing, or the bucket
    /// keeps something else and `force` is not given; [`StoreError::Unusable`] if there is no answer.
    ///
    /// # Cancel safety
    ///
    /// Safe: run it again.
    pub async fn provision(&self, force: bool) -> Result<Provisioned, StoreError> {
        // InfluxDB would make a bucket without a name.
        if self.bucket.is_empty() || self.org.is_empty() {
            return Err(StoreError::Settings(
                "a bucket and its organization have names: see --bucket and --org".to_owned(),
            ));
        }
        let found = self.find_bucket().await?;
        if found.as_ref().is_some_and(Bucket::is_as_wanted) {
            return Ok(Provisioned::Unchanged);
        }
        let org_id = self.find_org().await?;
        // What is changed below deletes trades: the bucket's name alone does not say that it is meant.
        let Some(bucket) = found.filter(|bucket| bucket.org_id == org_id) else {
            let body = json!({"orgID": org_id, "name": self.bucket, "retentionRules": [RetentionRule::wanted()]});
            self.control(Method::POST, "buckets", &[], Some(body)).await?;
            return Ok(Provisioned::Created);
        };
        if !force {
            return Err(StoreError::Settings(self.retention_warning(&bucket)));
        }
        let body = json!({"retentionRules": [RetentionRule::wanted()]});
        self.control(Method::PATCH, &format!("buckets/{}", bucket.id), &[], Some(body)).await?;
        Ok(Provisioned::Changed(bucket.keeps()))
    }

    /// The id of the organization.
    pub(super) async fn find_org(&self) -> Result<String, StoreError> {
        let found = match self.get::<Orgs>("orgs", &[("org", &self.org)]).await {
            Ok(found) => found.orgs.into_iter().find(|org| org.name == self.org),
            Err(Refusal { status: 404, .. }) => None,
            Err(refusal) => return Err(refusal.into()),
        };
        let why = || {
            format!(
                "{} has no organization {}, or the token may not see it: see --org, and give a token that may make buckets",
                self.base, self.org
            )
        };
        found.map(|org| org.id).ok_or_else(|| StoreError::Settings(why()))
    }

    /// The bucket of that very name; asked for an empty one, InfluxDB lists every bucket.
    pub(super) async fn find_bucket(&self) -> Result<Option<Bucket>, StoreError> {
        let query = [("name", self.bucket.as_str()), ("org", self.org.as_str())];
        match self.get::<Buckets>("buckets", &query).await {
            Ok(found) => Ok(found.buckets.into_iter().find(|bucket| bucket.name == self.bucket)),
            Err(Refusal { status: 404, .. }) => Ok(None),
            Err(refusal) => Err(refusal.into()),
        }
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, Refusal> {
        self.read(self.control(Method::GET, path, query, None).await?, REPLY_BYTES_MAX).await
    }

    /// What an answer of at most so many bytes says.
    pub(super) async fn read<T: serde::de::DeserializeOwned>(
        &self,
        reply: Response,
        bytes_max: usize,
    ) -> Result<T, Refusal> {
        let status = reply.status().as_u16();
        let body = read_whole(reply, bytes_max).await;
        let said = body
            .map_err(|error| error.to_string())
            .and_then(|body| serde_json::from_slice(&body).map_err(|_| quoted(&String::from_utf8_lossy(&body))));
        said.map_err(|said| Refusal { status: 0, why: self.no_influxdb(status, &said) })
    }

    async fn control(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<serde_json::Value>,
    ) -> Result<Response, Refusal> {
        let request = self.control_request(method, path, query);
        self.answered(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }

    pub(super) fn control_request(&self, method: Method, path: &str, query: &[(&str, &str)]) -> RequestBuilder {
        self.http
            .request(method, format!("{}/api/v2/{path}", self.base))
            .query(query)
            .timeout(CONTROL_TIMEOUT)
            .header(AUTHORIZATION, self.credentials.header())
    }

    /// The answer, if it is success.
    pub(super) async fn answered(&self, request: RequestBuilder) -> Result<Response, Refusal> {
        let reply = request.send().await.map_err(|error| Refusal { status: 0, why: self.silent(&error) })?;
        let status = reply.status().as_u16();
        if reply.status().is_success() {
            return Ok(reply);
        }
        let said = read_begin(reply).await;
        Err(match serde_json::from_str::<OwnWords>(&said) {
            Ok(_) => Refusal { status, why: self.said(status, &on_one_line(&said)) },
            // Whatever its status means there, it is not InfluxDB that says it.
            Err(_) => Refusal { status: 0, why: self.no_influxdb(status, &quoted(&said)) },
        })
    }
}

/// JSON without the line breaks and tabs that some of InfluxDB's services put into it.
fn on_one_line(json: &str) -> String {
    serde_json::from_str::<serde_json::Value>(json).map_or_else(|_| json.to_owned(), |value| value.to_string())
}

/// An answer other than success; status 0 for none of InfluxDB's.
pub(super) struct Refusal {
    status: u16,
    why: String,
}

impl From<Refusal> for StoreError {
    fn from(refusal: Refusal) -> Self {
        match refusal.status {
            400..=499 => Self::Settings(format!("{}: see --org, --bucket and the token", refusal.why)),
            _ => Self::Unusable(refusal.why),
        }
    }
}
