//! Where metrics go: OTLP over HTTP, by the environment variables of the OpenTelemetry specification (Environment Variable
//! Specification; OpenTelemetry Protocol Exporter).
//!
//! The variables are not ours alone: on an operator's machine they are set for other programs, and in a function app the
//! Functions host reads them as well. So what is wrong with them switches metrics off, which is told, and stops nothing.

use std::fmt;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::Environment;
use super::environment::Reader;
use super::fault::{Faults, Report};
use super::values::choice;
use crate::azure::http::{check_secure, origin_of};

/// Whether metrics are exported.
#[derive(Clone, Debug, Default)]
pub enum Metrics {
    /// Nobody asks for them.
    #[default]
    Off,
    To(Box<MetricsConfig>),
    /// Somebody asks for them, and nothing is exported because of these faults.
    Wrong(Faults),
}

/// A receiver of metrics. Its headers, and the user, the path and the query of its URL, may be secrets: `Debug` shows where it is
/// alone.
#[derive(Clone)]
pub struct MetricsConfig {
    endpoint: SecretString,
    /// The variable that names it.
    pub named_by: &'static str,
    headers: HeaderMap,
    pub protocol: Protocol,
    pub temporality: Temporality,
    /// How long an export may take.
    pub timeout: Duration,
    /// What is said of who sends, besides what he knows himself; the last of a name wins.
    pub resource: Vec<(String, String)>,
}

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Protobuf,
    Json,
}

/// From when on a sum counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temporality {
    /// From the start of the process.
    Cumulative,
    /// From the last export.
    Delta,
}

/// The variables that are read. Where there are two, the one for metrics alone goes before the general one.
pub const VARIABLES: [&str; 13] = [
    ENDPOINT[0],
    ENDPOINT[1],
    HEADERS[0],
    HEADERS[1],
    PROTOCOL[0],
    PROTOCOL[1],
    TIMEOUT[0],
    TIMEOUT[1],
    TEMPORALITY,
    EXPORTER,
    DISABLED,
    SERVICE_NAME,
    RESOURCE,
];
const ENDPOINT: [&str; 2] = ["OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
const HEADERS: [&str; 2] = ["OTEL_EXPORTER_OTLP_METRICS_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
const PROTOCOL: [&str; 2] = ["OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const TIMEOUT: [&str; 2] = ["OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
const TEMPORALITY: &str = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
const EXPORTER: &str = "OTEL_METRICS_EXPORTER";
const DISABLED: &str = "OTEL_SDK_DISABLED";
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
const RESOURCE: &str = "OTEL_RESOURCE_ATTRIBUTES";

/// What the specification says of an export that nothing is said of.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

impl MetricsConfig {
    /// Where to post. For the request alone.
    pub fn expose_endpoint(&self) -> &str {
        self.endpoint.expose_secret()
    }

    /// What goes with each request. For the request alone.
    pub const fn expose_headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// What may be said of the endpoint: scheme, host and port.
    pub fn origin(&self) -> String {
        Url::parse(self.expose_endpoint()).map(|url| origin_of(&url)).unwrap_or_default()
    }
}

impl fmt::Debug for MetricsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsConfig")
            .field("origin", &self.origin())
            .field("headers", &self.headers.len())
            .field("protocol", &self.protocol)
            .field("temporality", &self.temporality)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// What the environment says of metrics.
pub fn read(environment: &Environment) -> Metrics {
    let environment = set(environment);
    let wanted = ENDPOINT.iter().any(|name| environment.get(name).is_some());
    let disabled = environment.get(DISABLED).is_some_and(|value| value.trim().eq_ignore_ascii_case("true"));
    let exporter = environment.get(EXPORTER).map(str::trim);
    if !wanted || disabled || exporter.is_some_and(|name| name.eq_ignore_ascii_case("none")) {
        return Metrics::Off;
    }
    let mut report = Report::new("", "");
    let config = config(&mut Reader { environment: &environment, report: &mut report });
    match report.finish(config) {
        Ok(config) => Metrics::To(Box::new(config)),
        Err(faults) => Metrics::Wrong(faults),
    }
}

/// The variables that are not empty: an empty one is as none.
fn set(environment: &Environment) -> Environment {
    let value = |name: &'static str| environment.get(name).map(|value| (name, value));
    VARIABLES.into_iter().filter_map(value).filter(|(_, value)| !value.trim().is_empty()).collect()
}

fn config(reader: &mut Reader<'_, '_>) -> Option<MetricsConfig> {
    let _ = reader.get(EXPORTER, "otlp", exporter);
    let _ = reader.get(DISABLED, "false", |text| choice(text, &[("true", true), ("false", false)]));
    let [own, general] = ENDPOINT;
    let named_by = first(reader, ENDPOINT);
    let endpoint = match named_by == own {
        true => reader.get(own, "https://…/v1/metrics", url),
        false => reader.get(general, "https://…", |text| url(text).map(below)),
    };
    let headers = first(reader, HEADERS);
    let parsed = reader.get(headers, "name=value", header_map);
    let headers_hold = parsed.as_ref().is_some_and(|headers| !headers.value.is_empty());
    let protocol = first(reader, PROTOCOL);
    let protocol = reader.get(protocol, "http/protobuf", protocol_of);
    let timeout = first(reader, TIMEOUT);
    let timeout = reader.get(timeout, "10000", milliseconds);
    let temporality = reader.get(TEMPORALITY, "cumulative", temporality_of);
    let service = reader.get(SERVICE_NAME, "a name", |name| Ok(name.trim().to_owned()));
    let attributes = reader.get(RESOURCE, "key=value", attributes);
    let endpoint = endpoint?;
    let url = endpoint.value;
    // Without anything that is a secret, the numbers may go through a private network as they are.
    let has_secret = headers_hold || !url.username().is_empty() || url.password().is_some();
    if has_secret && check_secure(&url).is_err() {
        reader.report.origin(
            &endpoint.origin,
            "headers that may be secrets go over https only; write the https:// URL, or send none",
        );
    }
    let mut resource = attributes.map(|attributes| attributes.value).unwrap_or_default();
    resource.extend(service.map(|name| ("service.name".to_owned(), name.value)));
    Some(MetricsConfig {
        endpoint: SecretString::from(String::from(url)),
        named_by,
        headers: parsed.map(|headers| headers.value).unwrap_or_default(),
        protocol: protocol.map_or(Protocol::Protobuf, |protocol| protocol.value),
        temporality: temporality.map_or(Temporality::Cumulative, |temporality| temporality.value),
        timeout: timeout.map_or(DEFAULT_TIMEOUT, |timeout| timeout.value),
        resource,
    })
}

/// The variable of a pair that counts.
fn first(reader: &Reader<'_, '_>, [own, general]: [&'static str; 2]) -> &'static str {
    if reader.environment.get(own).is_some() { own } else { general }
}

fn exporter(text: &str) -> Result<(), String> {
    let otlp = text.split(',').any(|name| name.trim().eq_ignore_ascii_case("otlp"));
    otlp.then_some(()).ok_or_else(|| "this exporter is not known here; write otlp, or none".into())
}

fn url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text.trim()).ok().filter(Url::has_host);
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
    url.ok_or_else(|| {
        "this is no URL of http or https; write the one that takes OTLP over HTTP, mostly with port 4318 (it is not \
         shown: it may be a secret)"
            .into()
    })
}

/// Where metrics go below a general endpoint.
fn below(mut url: Url) -> Url {
    let path = format!("{}/v1/metrics", url.path().trim_end_matches('/'));
    url.set_path(&path);
    url
}

fn protocol_of(text: &str) -> Result<Protocol, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "grpc" => Err("grpc is not spoken here; write http/protobuf, and the endpoint that takes OTLP over HTTP, mostly \
                       port 4318 in the place of 4317"
            .into()),
        other => choice(other, &[("http/protobuf", Protocol::Protobuf), ("http/json", Protocol::Json)]),
    }
}

fn temporality_of(text: &str) -> Result<Temporality, String> {
    let known = [
        ("cumulative", Temporality::Cumulative),
        ("delta", Temporality::Delta),
        // Of counters it is the same (specification: OTLP Metrics Exporter).
        ("lowmemory", Temporality::Delta),
    ];
    choice(&text.trim().to_ascii_lowercase(), &known)
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    let number = text.trim().parse().ok().filter(|number| *number > 0);
    number.map(Duration::from_millis).ok_or_else(|| {
        "this is no number of milliseconds; write a whole number above 0, such as 10000".into()
    })
}

/// `name=value` with commas between, as W3C Baggage without properties; percent-encoded.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let is_encoded = |text: &str| {
        let digits =
            |rest: &str| rest.as_bytes().get(..2).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
        text.split('%').skip(1).all(digits)
    };
    let decoded = |text: &str| {
        let text = Some(text.trim()).filter(|text| is_encoded(text))?;
        percent_decode_str(text).decode_utf8().ok().map(Into::into)
    };
    let pair = |part: &str| {
        let (name, value) = part.split_once('=')?;
        let (name, value): (String, String) = (decoded(name)?, decoded(value)?);
        (!name.is_empty()).then_some((name, value))
    };
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(pair).collect()
}

fn attributes(text: &str) -> Result<Vec<(String, String)>, String> {
    pairs(text).ok_or_else(|| {
        "this is no list of attributes; write key=value with commas between, and in a value %2C for a comma and %25 for \
         a percent sign"
            .into()
    })
}

/// What the request says of itself.
const FRAMING: [&str; 8] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "te",
    "transfer-encoding",
    "upgrade",
];

fn header_map(text: &str) -> Result<HeaderMap, String> {
    let header = |(name, value): (String, String)| {
        let name =
            HeaderName::from_bytes(name.as_bytes()).ok().filter(|name| !FRAMING.contains(&name.as_str()))?;
        let mut value = HeaderValue::from_str(&value).ok()?;
        value.set_sensitive(true);
        Some((name, value))
    };
    let headers = pairs(text).and_then(|pairs| pairs.into_iter().map(header).collect());
    headers.ok_or_else(|| {
        "this is no list of headers; write name=value with commas between, and in a value %2C for a comma and %25 for a \
         percent sign; host, content-type, content-length and their like are not among them (they are not shown: they \
         may be secrets)"
            .into()
    })
}
