//! `lab imds`: a metadata service that requires `IMDSv2`, with a role whose credentials are visibly fake.
//! Unlike the real service, it echoes datagrams, so that a client knows which of them got through.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, put};
use clap::Args;
use serde_json::json;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt, stdin};
use tokio::net::{TcpListener, UdpSocket};

/// Serve as the metadata service until the input ends
#[derive(Args)]
pub(crate) struct Imds {
    /// Where to listen; may be given more than once
    #[arg(long, required = true, value_name = "ADDRESS:PORT")]
    listen: Vec<SocketAddr>,
}

impl Imds {
    pub(crate) fn serve(self) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("an event loop").block_on(async {
            let tokens = Tokens::default();
            for address in self.listen {
                let listener = TcpListener::bind(address)
                    .await
                    .unwrap_or_else(|error| panic!("cannot listen on {address}: {error}"));
                tokio::spawn(axum::serve(listener, service(tokens.clone())).into_future());
                let udp = datagrams(address, Protocol::UDP)
                    .unwrap_or_else(|error| panic!("no UDP on {address}: {error}"));
                tokio::spawn(echo(udp));
                // Not every kernel has it.
                if let Ok(udplite) = datagrams(address, Protocol::UDPLITE) {
                    tokio::spawn(echo(udplite));
                }
            }
            println!("ready");
            // An error ends the service just as well.
            let _ = stdin().read(&mut [0]).await;
        });
        // The event loop would wait for its blocking read of the input otherwise.
        std::process::exit(0);
    }
}

/// The tokens handed out, each with its end.
#[derive(Clone, Default)]
struct Tokens(Arc<Mutex<HashMap<String, Instant>>>);

impl Tokens {
    fn hand_out(&self, lifetime: Duration) -> String {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let token = format!("lab-token-{}", tokens.len());
        tokens.insert(token.clone(), Instant::now() + lifetime);
        token
    }

    fn are_good_for(&self, token: &str) -> bool {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(token).is_some_and(|end| Instant::now() < *end)
    }
}

fn datagrams(address: SocketAddr, protocol: Protocol) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(protocol))?;
    socket.bind(&address.into())?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

/// Sends every datagram back. The error of one that could not be answered says nothing about the next.
async fn echo(socket: UdpSocket) {
    let mut datagram = [0; 512];
    loop {
        if let Ok((length, from)) = socket.recv_from(&mut datagram).await {
            let _ = socket.send_to(&datagram[..length], from).await;
        }
    }
}

fn service(tokens: Tokens) -> Router {
    Router::new()
        .route(
            "/latest/meta-data/iam/security-credentials/",
            get("demo-role"),
        )
        .route(
            "/latest/meta-data/iam/security-credentials/demo-role",
            get(credentials().to_string()),
        )
        .route(
            "/latest/dynamic/instance-identity/document",
            get(identity_document().to_string()),
        )
        .route("/latest/meta-data/instance-id", get("i-00000000000000000"))
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(middleware::from_fn_with_state(
            tokens.clone(),
            require_token,
        ))
        .route("/latest/api/token", put(hand_out_token).with_state(tokens))
}

async fn hand_out_token(
    State(tokens): State<Tokens>,
    headers: HeaderMap,
) -> Result<String, StatusCode> {
    if headers.contains_key("X-Forwarded-For") {
        return Err(StatusCode::FORBIDDEN);
    }
    let lifetime = headers
        .get("X-aws-ec2-metadata-token-ttl-seconds")
        .and_then(|value| value.to_str().ok()?.parse().ok());
    match lifetime {
        Some(seconds @ 1..=21600) => Ok(tokens.hand_out(Duration::from_secs(seconds))),
        _ => Err(StatusCode::BAD_REQUEST),
    }
}

async fn require_token(
    State(tokens): State<Tokens>,
    request: Request,
    next: Next,
) -> Result<Response, StatusCode> {
    let token = request
        .headers()
        .get("X-aws-ec2-metadata-token")
        .and_then(|value| value.to_str().ok());
    if token.is_some_and(|token| tokens.are_good_for(token)) {
        Ok(next.run(request).await)
    } else {
        Err(StatusCode::UNAUTHORIZED)
    }
}

fn credentials() -> serde_json::Value {
    json!({
        "Code": "Success",
        "LastUpdated": "2000-01-01T00:00:00Z",
        "Type": "AWS-HMAC",
        "AccessKeyId": "ASIA-NOT-A-REAL-KEY",
        "SecretAccessKey": "not-a-real-secret",
        "Token": "not-a-real-session-token",
        "Expiration": "2000-01-01T06:00:00Z",
    })
}

fn identity_document() -> serde_json::Value {
    json!({
        "accountId": "000000000000",
        "architecture": "x86_64",
        "availabilityZone": "xx-lab-1a",
        "imageId": "ami-00000000000000000",
        "instanceId": "i-00000000000000000",
        "instanceType": "t3.micro",
        "pendingTime": "2000-01-01T00:00:00Z",
        "privateIp": "192.0.2.1",
        "region": "xx-lab-1",
        "version": "2017-09-30",
    })
}
