//! Answers that flow: echo, server-sent events, WebSocket.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE,
};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::task::TaskTracker;

use super::answers::{Answer, BoxError, full, refusal};

/// The body that comes is the body that goes, frame by frame, trailers included.
pub(super) fn echo(request: Request<Incoming>) -> Answer {
    let content_type = request.headers().get(CONTENT_TYPE).cloned();
    let mut answer = Response::new(request.into_body().map_err(BoxError::from).boxed_unsync());
    if let Some(content_type) = content_type {
        answer.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    answer
}

/// So many bytes, as fast as they are taken.
pub(super) fn flood(bytes: u64) -> Answer {
    const PIECE: Bytes = Bytes::from_static(&[b'x'; 64 << 10]);
    let pieces = futures_util::stream::unfold(bytes, |left| async move {
        let piece = PIECE.slice(..PIECE.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
        let rest = left - piece.len() as u64;
        (!piece.is_empty()).then(|| (Ok::<_, BoxError>(Frame::data(piece)), rest))
    });
    Response::new(StreamBody::new(pieces).boxed_unsync())
}

/// `?n=10&every=1s`: so many events (0: without end), the first at once.
pub(super) fn events(request: &Request<Incoming>) -> Answer {
    let query = request.uri().query().unwrap_or_default();
    let (count, every) = match asked_events(query) {
        Ok(asked) => asked,
        Err(why) => return refusal(StatusCode::BAD_REQUEST, &why),
    };
    let numbers = futures_util::stream::unfold(1_u64, move |number| async move {
        if count != 0 && count < number {
            return None;
        }
        if number != 1 {
            tokio::time::sleep(every).await;
        }
        let event = Bytes::from(format!("id: {number}\ndata: {number}\n\n"));
        Some((Ok::<_, BoxError>(Frame::data(event)), number + 1))
    });
    let mut answer = Response::new(StreamBody::new(numbers).boxed_unsync());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn asked_events(query: &str) -> Result<(u64, Duration), String> {
    let (mut count, mut every) = (10, Duration::from_secs(1));
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        match name {
            "n" => count = value.parse().map_err(|_| format!("n={value}: a number is allowed"))?,
            "every" => every = humantime::parse_duration(value).map_err(|error| format!("every={value}: {error}"))?,
            _ => {}
        }
    }
    Ok((count, every))
}

/// Every message comes back. The socket outlives its connection's task, so it goes to `streams`, which is waited for.
pub(super) fn web_socket(mut request: Request<Incoming>, streams: &TaskTracker) -> Answer {
    let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY).cloned() else {
        return refusal(StatusCode::UPGRADE_REQUIRED, "a WebSocket is spoken here");
    };
    let upgraded = hyper::upgrade::on(&mut request);
    streams.spawn(async move {
        let Ok(upgraded) = upgraded.await else { return };
        let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            if message.is_close() {
                break;
            }
            if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
                break;
            }
        }
        // Answers the closing handshake; a peer that has gone already does not mind.
        let _ = socket.close(None).await;
    });
    let mut answer = Response::new(full(""));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes()));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept.expect("base64 is a header value"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_asked_for_in_the_query() {
        assert_eq!(asked_events("n=3&every=20ms"), Ok((3, Duration::from_millis(20))));
        assert_eq!(asked_events(""), Ok((10, Duration::from_secs(1))));
        assert!(asked_events("n=many").is_err());
    }
}
