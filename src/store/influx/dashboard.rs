//! The dashboard and its checks in the InfluxDB UI: one stack of the organization, found again by its name.
//!
//! Endpoints as in InfluxDB's v2 API reference: `/api/v2/stacks`, `/api/v2/templates/apply`.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::json;

use super::Influx;
use super::control::Refusal;
use crate::flux::string;
use crate::store::StoreError;
use crate::text::Excerpt;

const TEMPLATE: &str = include_str!("../../../influx/template.yml");
const STACK: &str = "tickflux";
/// Where the bucket's name goes.
const DEFAULT_NAME: &str = "\"ticks\"";
const APPLY_TIMEOUT: Duration = Duration::from_secs(60);
/// A stack remembers each time that it was applied with 2 KB.
const STACKS_BYTES_MAX: usize = 16 << 20;
/// Everything that was applied, cells too: some 100 KB.
const APPLIED_BYTES_MAX: usize = 4 << 20;

#[derive(Deserialize)]
struct Stacks {
    stacks: Vec<Stack>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Stack {
    id: String,
    #[serde(rename = "orgID", default)]
    org_id: String,
}

/// InfluxDB says 201 to what it could not use, too.
#[derive(Deserialize)]
struct Applied {
    #[serde(default)]
    errors: Option<Vec<serde_json::Value>>,
}

impl Influx {
    /// Makes the dashboard, its variables and its checks, or brings them up to date, for this bucket. Applied again it
    /// leaves one of each; applied for another bucket they are about that one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Settings`] if the token may not, or the organization is missing; [`StoreError::Unusable`] if
    /// there is no answer, or the template is refused.
    ///
    /// # Cancel safety
    ///
    /// Safe: run it again.
    pub async fn provision_dashboard(&self) -> Result<(), StoreError> {
        let org_id = self.find_org().await?;
        let stack = match self.find_stack(&org_id).await? {
            Some(stack) => stack,
            None => self.make_stack(&org_id).await?,
        };
        // In JSON it takes only JSON, and in YAML the template only as a list of bytes; JSON is YAML.
        let template = json!({"contentType": "yaml", "contents": render(&self.bucket).into_bytes()});
        let body = json!({"orgID": org_id, "stackID": stack.id, "templates": [template]}).to_string();
        let request = self
            .control_request(Method::POST, "templates/apply", &[])
            .timeout(APPLY_TIMEOUT)
            .header(CONTENT_TYPE, "text/yml")
            .body(body);
        let applied: Applied = self.read(self.answered(request).await?, APPLIED_BYTES_MAX).await?;
        match applied.errors.unwrap_or_default().first() {
            None => Ok(()),
            Some(error) => {
                let error = error.to_string();
                Err(StoreError::Unusable(format!("{} did not take it all: {}", self.base, Excerpt::of(&error))))
            }
        }
    }

    /// The oldest stack of that name.
    async fn find_stack(&self, org_id: &str) -> Result<Option<Stack>, Refusal> {
        let request = self.control_request(Method::GET, "stacks", &[("orgID", org_id), ("name", STACK)]);
        let found: Stacks = self.read(self.answered(request).await?, STACKS_BYTES_MAX).await?;
        Ok(found.stacks.into_iter().filter(|stack| stack.org_id == org_id).min())
    }

    async fn make_stack(&self, org_id: &str) -> Result<Stack, Refusal> {
        let body = json!({"orgID": org_id, "name": STACK});
        let request = self.control_request(Method::POST, "stacks", &[]).json(&body);
        self.read(self.answered(request).await?, STACKS_BYTES_MAX).await
    }
}

/// The template for a bucket; the escapes of a Flux string are YAML's, too.
fn render(bucket: &str) -> String {
    TEMPLATE.replace(DEFAULT_NAME, &string(bucket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_has_the_name_of_the_bucket_where_it_asks_one() {
        assert_eq!(render("ticks"), TEMPLATE);
        let text = render("a ${b} \\ 'c'");
        let name = "\"a \\x24{b} \\\\ 'c'\"";
        assert_eq!(text.matches(&format!("from(bucket: {name})")).count(), 2);
        assert_eq!(text.matches(&format!("values: [{name}]\n")).count(), 1);
        assert!(!text.contains("\"ticks\""));
    }
}
