//! Points as lines of line protocol, complete and odd; shares no code with the encoder under test.

use tickflux::trade::Trade;

use super::influxd::Influxd;

/// The fields of a trade's point.
pub const FIELDS: [&str; 6] = ["price", "price_float", "quantity", "quantity_float", "trade_id", "buyer_is_maker"];

/// A point of binance that has these fields of a trade.
pub fn with_fields(trade: &Trade, fields: &[&str]) -> String {
    tagged(trade, ",exchange=binance", fields)
}

/// A point with these tags beside the symbol.
pub fn tagged(trade: &Trade, tags: &str, fields: &[&str]) -> String {
    let value = |field: &&str| match *field {
        "price" => format!("price=\"{}\"", trade.price),
        "price_float" => format!("price_float={}", trade.price),
        "quantity" => format!("quantity=\"{}\"", trade.quantity),
        "quantity_float" => format!("quantity_float={}", trade.quantity),
        "trade_id" => format!("trade_id={}i", trade.id),
        "buyer_is_maker" => format!("buyer_is_maker={}", trade.buyer_is_maker),
        other => other.to_owned(),
    };
    let values: Vec<_> = fields.iter().map(value).collect();
    let ns = trade.time.ms() * 1_000_000 + (trade.id.get() % 1_000_000).cast_signed();
    format!("trade{tags},symbol={} {} {ns}", trade.symbol, values.join(","))
}

/// Writes lines with the influx CLI.
pub fn write(influxd: &Influxd, bucket: &str, lines: &[String]) {
    for lines in lines.chunks(500) {
        let args = ["write", "--bucket", bucket, "--precision", "ns", "--format", "lp", &lines.join("\n")];
        influxd.influx_ok(&args);
    }
}
