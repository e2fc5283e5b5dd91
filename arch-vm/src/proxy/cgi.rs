//! The proxy as CGI (RFC 3875), called by a web server for one request. Only this machine is answered.

use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderName, Method, StatusCode, header};
use axum::response::Response;
use common::config::Environment;
use futures_util::StreamExt as _;
use tokio::runtime::Runtime;

use super::answer::{Front, refuse};
use super::request::Wanted;

/// Headers that change the answer, as CGI hands them over.
const HEADERS: [(&str, HeaderName); 3] = [
    ("HTTP_RANGE", header::RANGE),
    ("HTTP_IF_MODIFIED_SINCE", header::IF_MODIFIED_SINCE),
    ("HTTP_IF_NONE_MATCH", header::IF_NONE_MATCH),
];

/// Answers the request that the environment describes.
pub(super) fn answer(
    runtime: &Runtime,
    front: Arc<Front>,
    environment: &Environment,
    stdout: &mut dyn Write,
) -> Result<()> {
    runtime.block_on(async {
        let response = match wanted(environment) {
            Ok((wanted, request)) => front.answer(wanted, request).await,
            Err((status, reason)) => refuse(status, reason),
        };
        write(response, stdout).await.context("cannot write the answer")
    })
}

/// What is asked for, or why it is refused.
fn wanted(environment: &Environment) -> Result<(Wanted, Request), (StatusCode, &'static str)> {
    let variable = |name: &str| environment.get(name).map(String::as_str);
    let is_here = variable("REMOTE_ADDR")
        .and_then(|address| address.parse::<IpAddr>().ok())
        .is_some_and(|address| address.is_loopback());
    if !is_here {
        return Err((StatusCode::FORBIDDEN, "only this machine is served"));
    }
    let method = match variable("REQUEST_METHOD") {
        Some("GET") => Method::GET,
        Some("HEAD") => Method::HEAD,
        _ => return Err((StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are served")),
    };
    let path: Vec<&str> = variable("PATH_INFO").unwrap_or_default().split('/').collect();
    let wanted = match path[..] {
        ["", repository, "os", arch, file] => Wanted::parse(repository, arch, file),
        _ => None,
    };
    let wanted = wanted.ok_or((StatusCode::NOT_FOUND, "that is no file of a repository"))?;
    let mut request = Request::builder().method(method);
    for (name, header) in HEADERS {
        if let Some(value) = variable(name) {
            request = request.header(header, value);
        }
    }
    let request = request
        .body(Body::empty())
        .map_err(|_| (StatusCode::BAD_REQUEST, "a header of the request is none"))?;
    Ok((wanted, request))
}

async fn write(response: Response, stdout: &mut dyn Write) -> Result<()> {
    let status = response.status();
    write!(
        stdout,
        "Status: {} {}\r\n",
        status.as_u16(),
        status.canonical_reason().unwrap_or_default()
    )?;
    for (name, value) in response.headers() {
        write!(stdout, "{name}: ")?;
        stdout.write_all(value.as_bytes())?;
        stdout.write_all(b"\r\n")?;
    }
    stdout.write_all(b"\r\n")?;
    let mut body = response.into_body().into_data_stream();
    while let Some(bytes) = body.next().await {
        stdout.write_all(&bytes?)?;
    }
    Ok(stdout.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(remote: &str, path: &str) -> Environment {
        let variables = [("REMOTE_ADDR", remote), ("REQUEST_METHOD", "GET"), ("PATH_INFO", path)];
        variables
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn only_this_machine_is_answered_and_only_files_of_repositories() {
        let status = |remote, path| wanted(&environment(remote, path)).err().map(|(status, _)| status);
        assert_eq!(status("127.0.0.1", "/core/os/x86_64/core.db"), None);
        assert_eq!(status("::1", "/core/os/x86_64/core.db"), None);
        assert_eq!(
            status("192.0.2.1", "/core/os/x86_64/core.db"),
            Some(StatusCode::FORBIDDEN)
        );
        assert_eq!(status("", "/core/os/x86_64/core.db"), Some(StatusCode::FORBIDDEN));
        assert_eq!(
            status("127.0.0.1", "/core/os/x86_64/../core.db"),
            Some(StatusCode::NOT_FOUND)
        );
        assert_eq!(
            status("127.0.0.1", "/../os/x86_64/core.db"),
            Some(StatusCode::NOT_FOUND)
        );
    }
}
