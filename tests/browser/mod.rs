//! The page in Chromium, by playwright-core: `check.mjs` looks, and what it saw is judged here.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path as Part, State};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use signalr_rekey::clock::Clock;
use signalr_rekey::overview::page::{Page, Rendered};
use signalr_rekey::overview::{ServiceOverview, kept};

use super::App;
use super::common::{HOUR, Story};

/// What a name would have to be to do harm.
const HOSTILE: &str = "\"><script>window.hostile=true;alert(1)</script><img src=x onerror=alert(2)>'";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser")
}

/// Where pictures of the pages are left.
fn pictures() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/status-page");
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// What a page has shown.
struct Seen(Value);

impl Seen {
    fn number(&self, of: &str) -> u64 {
        self.0[of].as_u64().unwrap_or_else(|| panic!("{of}: {:#}", self.0))
    }

    fn text(&self, of: &str) -> &str {
        self.0[of].as_str().unwrap_or_else(|| panic!("{of}: {:#}", self.0))
    }

    /// What holds of every page: it asks for nothing but itself, nothing of it runs, and it can be read by keyboard alone.
    fn judge(&self, base: &str) {
        let whole = &self.0;
        assert_eq!((self.number("status"), self.text("lang")), (200, "en"), "{whole:#}");
        assert_eq!(whole["complaints"], json!([]), "{whole:#}");
        // The page alone, and nothing that it names (a browser asks for an icon by itself, and is refused it).
        let asked = whole["asked"].as_array().unwrap();
        assert!(asked.iter().all(|url| url.as_str().unwrap().starts_with(base)), "{whole:#}");
        assert_eq!((asked.len(), self.number("scripts"), self.number("images")), (1, 0, 0), "{whole:#}");
        assert_eq!((&whole["hostile"], &whole["overflows"]), (&json!(false), &json!(false)), "{whole:#}");
        let opens = self.number("full") == 0 || whole["toggled"] == json!(true);
        assert_eq!((self.text("first"), opens), ("Skip to the services", true), "{whole:#}");
    }
}

/// A service after a rotation, and a forced regeneration that was repaired.
async fn lived() -> (ServiceOverview, App) {
    let app = App::of(Story::new().await);
    app.live(8 * HOUR).await;
    app.story.force("sr-demo", &[rekey_core::model::KeyType::Secondary]).unwrap();
    app.story.clock.advance(2 * super::MINUTE);
    app.live(HOUR).await;
    let known = kept::read(&*app.story.store, &app.story.config).await.unwrap().services;
    (known.into_iter().next().unwrap(), app)
}

fn named(overview: &ServiceOverview, name: &str) -> ServiceOverview {
    ServiceOverview { name: name.to_owned(), ..overview.clone() }
}

pub(crate) async fn look() {
    let (overview, app) = lived().await;
    let at = app.story.clock.now();
    let of = |services: Vec<ServiceOverview>| Page::new(services, at).render();
    let many = |count: usize| (0..count).map(|n| named(&overview, &format!("sr-{n:04}"))).collect::<Vec<_>>();
    let mut hostile = named(&overview, HOSTILE);
    hostile.condition.message = HOSTILE.to_owned();
    hostile
        .consumers
        .iter_mut()
        .for_each(|consumer| (consumer.name, consumer.id) = (HOSTILE.into(), HOSTILE.into()));
    hostile.timeline.moves.iter_mut().for_each(|one| one.consumers = vec![HOSTILE.to_owned()]);
    let served: BTreeMap<&'static str, Rendered> = [
        ("one", of(vec![overview.clone()])),
        ("fifty", of(many(50))),
        ("thousand", of(many(1000))),
        ("hostile", of(vec![hostile])),
    ]
    .into();
    let base = serve(served).await;
    let page = |name: &str, dark: bool, width: u32| {
        let shown =
            format!("{name}{}{}", if dark { "-dark" } else { "" }, if width < 500 { "-narrow" } else { "" });
        json!({ "path": format!("/{name}"), "name": shown, "dark": dark, "width": width })
    };
    let pages = [
        page("one", false, 1280),
        page("one", true, 1280),
        page("one", false, 390),
        page("fifty", false, 1280),
        page("thousand", false, 1280),
        page("thousand", false, 390),
        page("hostile", false, 1280),
    ];
    let seen = check(&base, &json!(pages)).await;
    seen.values().for_each(|seen| seen.judge(&base));
    let of = |name: &str| &seen[name];
    for (name, rows, full, opened) in [("one", 1, 1, 1), ("fifty", 50, 50, 0), ("thousand", 1000, 100, 0)] {
        let seen = of(name);
        let counts = (seen.number("rows"), seen.number("full"), seen.number("opened"));
        assert_eq!(counts, (rows, full, opened), "{name}");
        assert_eq!(seen.number("pictures"), full, "{name}");
        assert_eq!(seen.text("title"), format!("signalr-rekey: 0 of {rows} services need a look"));
    }
    let (light, dark) = (of("one").text("background"), of("one-dark").text("background"));
    assert_eq!((light, dark), ("rgb(255, 255, 255)", "rgb(21, 23, 27)"));
    assert!(of("hostile").text("text").contains(HOSTILE), "it is shown as it is");
    assert!(of("one").text("text").contains("the Secondary key had been regenerated from outside"));
}

/// Looks at the page of a command, and tells its text.
pub(crate) async fn look_at(base: &str, path: &str, name: &str) -> String {
    let page = json!({ "path": path, "name": name, "dark": false, "width": 1280 });
    let seen = check(base, &json!([page])).await;
    seen[name].judge(base);
    seen[name].text("text").to_owned()
}

/// Looks at one that asks for itself again, until it has been loaded three times.
pub(crate) async fn watch(base: &str, path: &str, name: &str) {
    let page = json!({ "path": path, "name": name, "dark": true, "width": 390, "loads": 3 });
    let seen = &check(base, &json!([page])).await[name];
    let asked = seen.0["asked"].as_array().unwrap();
    let is_itself = |url: &Value| *url == json!(format!("{base}{path}"));
    assert!(asked.len() >= 3 && asked.iter().all(is_itself), "{:#}", seen.0);
    assert_eq!((&seen.0["complaints"], &seen.0["overflows"]), (&json!([]), &json!(false)), "{:#}", seen.0);
}

async fn serve(pages: BTreeMap<&'static str, Rendered>) -> String {
    let show = async |Part(name): Part<String>,
                      State(pages): State<Arc<BTreeMap<&'static str, Rendered>>>|
           -> Response {
        let Some(page) = pages.get(name.as_str()) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let mut response = page.body.clone().into_response();
        for (name, value) in &page.headers {
            response.headers_mut().insert(HeaderName::from_static(name), value.parse().unwrap());
        }
        response
    };
    let router = Router::new().route("/{name}", get(show)).with_state(Arc::new(pages));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    base
}

async fn check(base: &str, pages: &Value) -> BTreeMap<String, Seen> {
    let asked = json!({ "executable": chromium(), "base": base, "pictures": pictures(), "pages": pages });
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), asked.to_string()).unwrap();
    let path = file.path().to_owned();
    let output = tokio::task::spawn_blocking(move || {
        install();
        Command::new("node").arg("check.mjs").arg(&path).current_dir(folder()).output()
    });
    let output = output.await.unwrap().expect("this test needs Node.js 20 or later on PATH");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    seen.into_iter().map(|seen| (seen["name"].as_str().unwrap().to_owned(), Seen(seen))).collect()
}

fn chromium() -> PathBuf {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found = std::env::split_paths(&paths).flat_map(|path| names.map(|name| path.join(name)));
    found.into_iter().find(|path| path.is_file()).unwrap_or_else(|| {
        panic!(
            "this test looks at the status page in Chromium: install it (Debian: apt-get install chromium)"
        )
    })
}

/// Installs what the lock file names, once.
fn install() {
    let lock = File::create(folder().join(".install-lock")).unwrap();
    lock.lock().unwrap();
    if folder().join("node_modules/playwright-core").exists() {
        return;
    }
    let arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
    let output = Command::new("npm").args(arguments).current_dir(folder()).output();
    let output = output.expect("this test needs npm on PATH");
    assert!(output.status.success(), "npm ci failed: {}", String::from_utf8_lossy(&output.stderr));
}
