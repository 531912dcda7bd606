//! The address of `/healthz` and `/metrics`: free, a capture's, or a stranger's.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use tokio::net::TcpStream;

use super::finding::{Check, Finding};
use super::within;
use crate::telemetry::ask::{AskError, Heard, ask, reachable};
use crate::text::LINE_BYTES_MAX;

/// How long a connection to this machine may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);

const REMEDY: &str = "give another --metrics-listen, or end what listens there";

/// Who is at an address.
#[derive(Debug)]
enum There {
    Nobody,
    /// Nobody, and it cannot be listened on either.
    Barred(io::Error),
    Answers(Heard),
    /// Something that does not speak HTTP.
    Mute(AskError),
}

/// Looks who is at `address`.
pub(super) async fn check(address: Option<SocketAddr>) -> Finding {
    let Some(address) = address else {
        return Finding::ok(Check::Metrics, "not served: a capture without --metrics-listen has no /healthz, /metrics");
    };
    judge(address, &look(address).await)
}

async fn look(address: SocketAddr) -> There {
    if address.port() != 0
        && let Some(Ok(_)) = within(CONNECT_MAX, TcpStream::connect(reachable(address))).await
    {
        return match ask(address).await {
            Ok(heard) => There::Answers(heard),
            Err(error) => There::Mute(error),
        };
    }
    // Only who tries knows whether it may be listened on; it is closed before anybody could come.
    match TcpListener::bind(address) {
        Ok(_) => There::Nobody,
        Err(error) => There::Barred(error),
    }
}

fn judge(address: SocketAddr, there: &There) -> Finding {
    let finding = |found: String| Finding::fail(Check::Metrics, found, REMEDY);
    match there {
        There::Nobody => Finding::ok(Check::Metrics, format!("{address} is free")),
        There::Barred(error) => finding(format!("{address} cannot be listened on: {error}")),
        There::Answers(Heard::Well(_)) => Finding::ok(Check::Metrics, format!("a capture answers at {address}: ok")),
        There::Answers(Heard::Unwell(why)) => {
            let why = crate::text::one_line(&why.join("; "), LINE_BYTES_MAX);
            let remedy = "see what it says, and docs/troubleshooting.md";
            Finding::warn(Check::Metrics, format!("a capture answers at {address}, and is not well: {why}"), remedy)
        }
        There::Answers(Heard::Stranger { status, said }) => {
            finding(format!("another program listens on {address}: it answered {status}: {said}"))
        }
        There::Mute(error) => finding(format!("another program listens on {address}: {}", crate::error_chain(error))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;
    use crate::text::Excerpt;

    #[test]
    fn a_capture_may_be_there_and_a_stranger_may_not() {
        let address = "127.0.0.1:9184".parse().unwrap();
        let stranger = Heard::Stranger { status: 404, said: Excerpt::of("nginx") };
        for (there, state) in [
            (There::Nobody, State::Ok),
            (There::Answers(Heard::Well(vec!["ok".to_owned()])), State::Ok),
            (There::Answers(Heard::Unwell(vec!["store: away".to_owned()])), State::Warn),
            (There::Answers(stranger), State::Fail),
            (There::Barred(io::ErrorKind::PermissionDenied.into()), State::Fail),
        ] {
            assert_eq!(judge(address, &there).state, state, "{there:?}");
        }
    }
}
