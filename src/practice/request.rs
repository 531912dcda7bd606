//! Requests on a stream's socket: `SUBSCRIBE` and the like.
//!
//! Source: Binance's `web-socket-streams.md`. Pure: text comes in, a request
//! or the answer that refuses it comes out.

use serde::Deserialize;
use serde_json::{Value, json};

/// The longest text that may be a request's id.
const ID_CHARS_MAX: usize = 36;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request {
    Subscribe(Vec<String>),
    Unsubscribe(Vec<String>),
    ListSubscriptions,
    SetCombined(bool),
    GetCombined,
}

#[derive(Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Method {
    Subscribe,
    Unsubscribe,
    ListSubscriptions,
    SetProperty,
    GetProperty,
}

#[derive(Deserialize)]
struct Message {
    method: Method,
    #[serde(default)]
    params: Vec<Value>,
    id: Value,
}

/// Reads a request with its id; the error is the answer to send.
pub(super) fn parse(text: &str) -> Result<(Request, Value), String> {
    let Message { method, params, id } = serde_json::from_str(text).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => refusal(2, &format!("Invalid request: {error}")),
        _ => refusal(3, &format!("Invalid JSON: {error}")),
    })?;
    let is_id = match &id {
        Value::Null => true,
        Value::Number(number) => !number.is_f64(),
        Value::String(text) => text.chars().count() <= ID_CHARS_MAX,
        _ => false,
    };
    if !is_id {
        return Err(refusal(2, "Invalid request: request ID must be an unsigned integer"));
    }
    let request = match method {
        Method::Subscribe => Request::Subscribe(names(params)?),
        Method::Unsubscribe => Request::Unsubscribe(names(params)?),
        Method::ListSubscriptions => Request::ListSubscriptions,
        Method::SetProperty => {
            check_property(&params, &id)?;
            let combined = params.get(1).and_then(Value::as_bool);
            Request::SetCombined(combined.ok_or_else(|| refusal(1, "Invalid value type: expected Boolean"))?)
        }
        Method::GetProperty => {
            check_property(&params, &id)?;
            Request::GetCombined
        }
    };
    Ok((request, id))
}

fn names(params: Vec<Value>) -> Result<Vec<String>, String> {
    let name = |value| match value {
        Value::String(name) => Ok(name),
        _ => Err(refusal(2, "Invalid request: stream name must be a string")),
    };
    params.into_iter().map(name).collect()
}

fn check_property(params: &[Value], id: &Value) -> Result<(), String> {
    match params.first().and_then(Value::as_str) {
        Some("combined") => Ok(()),
        Some(_) => Err(json!({"code": 0, "msg": "Unknown property", "id": id}).to_string()),
        None => Err(refusal(2, "Invalid request: property name must be a string")),
    }
}

fn refusal(code: u8, message: &str) -> String {
    json!({"code": code, "msg": message}).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> (Request, Value) {
        parse(text).unwrap()
    }

    #[test]
    fn every_method_is_read_with_its_id() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(
            parsed(r#"{"method":"SUBSCRIBE","params":["a@trade","b@trade"],"id":1}"#),
            (Request::Subscribe(names(&["a@trade", "b@trade"])), json!(1))
        );
        assert_eq!(
            parsed(r#"{"id":"x","params":["a@trade"],"method":"UNSUBSCRIBE"}"#),
            (Request::Unsubscribe(names(&["a@trade"])), json!("x"))
        );
        assert_eq!(parsed(r#"{"method":"LIST_SUBSCRIPTIONS","id":null}"#), (Request::ListSubscriptions, Value::Null));
        let set = r#"{"method":"SET_PROPERTY","params":["combined",true],"id":-5}"#;
        assert_eq!(parsed(set), (Request::SetCombined(true), json!(-5)));
        assert_eq!(
            parsed(r#"{"method":"GET_PROPERTY","params":["combined"],"id":2}"#),
            (Request::GetCombined, json!(2))
        );
    }

    #[test]
    fn refusals_have_binances_codes() {
        for (text, answer) in [
            ("{", r#"{"code":3,"msg":"Invalid JSON: "#),
            (r#"{"id":1}"#, r#"{"code":2,"msg":"Invalid request: missing field `method`"#),
            (r#"{"method":"subscribe","id":1}"#, r#"{"code":2,"msg":"Invalid request: unknown variant `subscribe`, "#),
            (r#"{"method":"LIST_SUBSCRIPTIONS"}"#, r#"{"code":2,"msg":"Invalid request: missing field `id`"#),
            (r#"{"method":"LIST_SUBSCRIPTIONS","id":1.5}"#, r#"{"code":2,"msg":"Invalid request: request ID"#),
            (r#"{"method":"SUBSCRIBE","params":[1],"id":1}"#, r#"{"code":2,"msg":"Invalid request: stream name"#),
            (r#"{"method":"SET_PROPERTY","params":["combined",1],"id":1}"#, r#"{"code":1,"msg":"Invalid value type"#),
            (r#"{"method":"GET_PROPERTY","params":["x"],"id":7}"#, r#"{"code":0,"msg":"Unknown property","id":7}"#),
            (r#"{"method":"GET_PROPERTY","id":7}"#, r#"{"code":2,"msg":"Invalid request: property name"#),
        ] {
            let refused = parse(text).unwrap_err();
            assert!(refused.starts_with(answer), "{text} gave {refused}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in ".{0,100}") {
            let _ = parse(&text);
        }
    }
}
