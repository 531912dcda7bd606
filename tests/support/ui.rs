//! What stands in the InfluxDB UI, and what the UI asks.

use reqwest::Client;
use serde_json::{Value, json};
use tickflux::net::Network;
use tickflux::store::{Attempt, Store};
use tickflux::trade::Trade;
use tokio::runtime::Runtime;

use super::influxd::{Influxd, ORG, TOKEN};
use super::{runtime, tickflux_ok};

/// InfluxDB with the template applied.
pub struct Ui<'a> {
    influxd: &'a Influxd,
    runtime: Runtime,
    client: Client,
}

impl<'a> Ui<'a> {
    pub fn new(influxd: &'a Influxd) -> Self {
        let (runtime, client) = (runtime(), Network::local().unwrap().http().build().unwrap());
        let ui = Self { influxd, runtime, client };
        ui.apply();
        ui
    }

    /// Applies it, once more.
    pub fn apply(&self) {
        let folder = tempfile::tempdir().unwrap();
        let said = tickflux_ok(folder.path(), &["provision", "--store", &self.influxd.url]);
        assert!(said.ends_with("dashboard tickflux and its checks are in the UI, of bucket ticks\n"), "{said}");
    }

    fn send(&self, request: reqwest::RequestBuilder) -> String {
        self.runtime.block_on(async {
            let answer = request.header("Authorization", format!("Token {TOKEN}")).send().await.unwrap();
            let (status, text) = (answer.status(), answer.text().await.unwrap());
            assert!(status.is_success(), "{status}: {text}");
            text
        })
    }

    pub fn get(&self, path: &str) -> Value {
        serde_json::from_str(&self.send(self.client.get(format!("{}{path}", self.influxd.url)))).unwrap()
    }

    /// The answer in CSV.
    pub fn query(&self, flux: &str) -> String {
        let url = format!("{}/api/v2/query?org={ORG}", self.influxd.url);
        let csv = self.send(self.client.post(url).json(&json!({"query": flux, "type": "flux"})));
        assert!(!csv.contains(",error,"), "{csv}\n{flux}");
        csv
    }

    pub fn names(&self, of: &str) -> Vec<String> {
        let all = self.get(&format!("/api/v2/{of}?org={ORG}"));
        let mut names: Vec<_> =
            all[of].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    }

    /// Every query of the dashboard, with its cell's name.
    pub fn cells(&self) -> Vec<(String, String)> {
        let dashboard = &self.get(&format!("/api/v2/dashboards?org={ORG}"))["dashboards"][0];
        let cells = dashboard["cells"].as_array().unwrap().iter().map(|cell| {
            let path = format!("/api/v2/dashboards/{}/cells/{}/view", text(&dashboard["id"]), text(&cell["id"]));
            let view = self.get(&path);
            let queries = view["properties"]["queries"].as_array().unwrap();
            assert_eq!(queries.len(), 1, "{view}");
            (text(&view["name"]), text(&queries[0]["text"]))
        });
        cells.collect()
    }

    /// A cell's answer as the UI would ask for it.
    pub fn ask(&self, cell: &str, exchange: &str, symbol: &str) -> String {
        self.ask_since(cell, exchange, symbol, "-1h", "10s")
    }

    /// The same over another time, in windows of so long.
    pub fn ask_since(&self, cell: &str, exchange: &str, symbol: &str, since: &str, window: &str) -> String {
        let chosen = format!(
            "option v = {{timeRangeStart: {since}, timeRangeStop: now(), windowPeriod: {window}, tickflux_bucket: \"ticks\", \
             tickflux_exchange: \"{exchange}\", tickflux_symbol: \"{symbol}\"}}\n"
        );
        let (imports, rest): (Vec<_>, Vec<_>) = cell.lines().partition(|line| line.starts_with("import "));
        self.query(&format!("{}\n{chosen}{}", imports.join("\n"), rest.join("\n")))
    }

    pub fn write(&self, exchange: &str, trades: &[Trade]) {
        self.runtime.block_on(self.influxd.store("ticks", exchange).write(trades, Attempt::default())).unwrap();
    }

    /// What a check runs, each time that it runs.
    pub fn check(&self, name: &str) -> String {
        let checks = self.get(&format!("/api/v2/checks?org={ORG}"));
        let check = checks["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap();
        text(&self.get(&format!("/api/v2/checks/{}/query", text(&check["id"])))["flux"])
    }

    /// The newest level of a check for BTCUSDT of an exchange.
    pub fn level(&self, check: &str, exchange: &str) -> String {
        let csv = self.query(&format!(
            "from(bucket: \"_monitoring\") |> range(start: -1h) |> filter(fn: (r) => r._measurement == \"statuses\" and \
             r._check_name == \"{check}\" and r.exchange == \"{exchange}\" and r._field == \"_message\") |> group() \
             |> sort(columns: [\"_time\"]) |> last() |> keep(columns: [\"_level\"])"
        ));
        csv.lines().rfind(|line| !line.is_empty()).unwrap_or_default().rsplit(',').next().unwrap_or_default().to_owned()
    }
}

/// A JSON string.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
