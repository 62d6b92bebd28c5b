use super::*;

const KEY: &str = "b1ueWha1e+0nly/Made0fLettersAndSigns=";

/// What the SDK signs with: host and `ServerEndpoint`'s host.
fn signs(text: &str) -> Option<(String, Option<String>)> {
    let text = text.replace("{key}", KEY);
    match read(&text) {
        Reading::Signs { host, server, key } => {
            assert_eq!(key.expose(), KEY, "{text}");
            Some((host, server))
        }
        Reading::Identity | Reading::Refused => None,
    }
}

#[test]
fn every_string_with_a_key_signs_with_it() {
    let shop = "shop.service.signalr.net";
    for (rest, host) in [
        (";AccessKey={key};Version=1.0;", shop),
        (";AccessKey={key}", shop),
        (":8443/hub?a=b;accesskey = {key} ;VERSION=1.0-preview", shop),
        (";AccessKey=\u{a0}{key}\u{3000};Port= 00443 ;Version=1.2_x.é", shop),
        (".;AccessKey={key};Port=+80", "shop.service.signalr.net."),
        (";AccessKey={key};AuthType=azure", shop),
        (";AuthType=AZURE.MSI;ClientId=c;AccessKey={key}", shop),
        (";AccessKey={key};AuthType=azure.app", shop),
        (";AccessKey={key};AuthType=aad;TenantId=t", shop),
        (";AccessKey={key};ClientEndpoint=gateway;unknown;=x;a=b=c", shop),
        (";AccessKey={key};ſecret=1;Acceſſkey=2", shop),
    ] {
        let text = format!("Endpoint=https://{shop}{rest}");
        assert_eq!(signs(&text), Some((host.to_owned(), None)), "{text}");
    }
    for (text, host, server) in [
        (";;AccessKey={key};endpoint=HTTP:\\\\Shop;", "shop", None),
        ("\nEndpoint=https://me:pw@other@shop/;\nAccessKey={key}", "shop", None),
        ("Endpoint=https://[::1]:8080;AccessKey={key}", "[::1]", None),
        (
            "Endpoint=https://gw.shop.example;ServerEndpoint=https://shop./;AccessKey={key}",
            "gw.shop.example",
            Some("shop."),
        ),
    ] {
        let expected = Some((host.to_owned(), server.map(str::to_owned)));
        assert_eq!(signs(text), expected, "{text}");
    }
}

#[test]
fn what_is_read_is_the_text_between_the_blanks_and_not_more() {
    for (written, expected) in [
        ("'{key}'", "'{key}'"),
        ("{key} # prod", "{key} # prod"),
        ("{key}%3D", "{key}%3D"),
        ("{key}\u{feff}", "{key}\u{feff}"),
    ] {
        let Reading::Signs { key, .. } = read(&format!("Endpoint=http://shop;AccessKey={written}")) else {
            panic!("{written}")
        };
        assert_eq!(key.expose(), expected);
    }
}

#[test]
fn strings_without_a_key_are_identity_or_refused() {
    for text in [
        "Endpoint=https://shop;AuthType=azure.msi;Version=1.0;",
        "Endpoint=https://shop;AccessKey=;{key}",
        "Endpoint=https://shop;Version=1.0",
        "Endpoint=https://shop;SharedAccessKey={key}",
        "Endpoint=https://shop;AccessKey: {key};",
    ] {
        assert!(read(text) == Reading::Identity, "{text}");
    }
    for text in [
        "",
        ";;",
        "{key}",
        "AccessKey={key};Version=1.0",
        "Endpoint=https://shop",
        "\u{feff}Endpoint=https://shop;AccessKey={key}",
        "\"Endpoint=https://shop;AccessKey={key}\"",
        "Endpoint=https://shop;AccessKey={key};ACCESSKEY={key}",
        "Endpoint=https://shop;AccessKey={key};x=1;X=2",
        "Endpoint=https://shop;AccessKey={key};Version=1",
        "Endpoint=https://shop;AccessKey={key};Version=1.0+1",
        "Endpoint=https://shop;AccessKey={key};Version=2.0",
        "Endpoint=https://shop;AccessKey={key};Version=",
        "Endpoint=https://shop;AccessKey={key};Port=65536",
        "Endpoint=https://shop;AccessKey={key};Port=443.0",
        "Endpoint=https://shop:65536;AccessKey={key}",
        "Endpoint=wss://shop;AccessKey={key}",
        "Endpoint=shop:443;AccessKey={key}",
        "Endpoint=https:/shop;AccessKey={key}",
        "Endpoint=https:///shop;AccessKey={key}",
        "Endpoint=https://sh op;AccessKey={key}",
        "Endpoint=https://shop\\;AccessKey={key}",
        "Endpoint=https://shop%20;AccessKey={key}",
        "Endpoint=https://a..b;AccessKey={key}",
        "Endpoint=https://:443;AccessKey={key}",
    ] {
        assert!(read(text) == Reading::Refused, "{text}");
    }
}

#[test]
fn an_app_finds_its_key_in_what_people_make_of_it() {
    let key = Key::new(KEY);
    for text in [
        KEY.to_owned(),
        format!(" '{KEY}' "),
        format!("{{\"endpoint\":\"https://shop\",\"key\":\"{KEY}\"}}"),
        format!(
            "{{\"key\":\"{}\"}}",
            KEY.replace('+', "\\u002B").replace('/', "\\/").replace('=', "\\u003d")
        ),
        format!("key={}", KEY.replace('+', "%2B").replace('/', "%2f").replace('=', "%3D")),
        STANDARD.encode(format!("Endpoint=https://shop;AccessKey={KEY}")),
    ] {
        assert!(finds(&text, &key), "{text}");
    }
    for text in [format!("{KEY}="), format!("x{KEY}"), KEY[1..].to_owned(), "%".into(), "\\u12".into()] {
        assert!(!finds(&text, &key), "{text}");
    }
}

/// Microsoft's own parser judges ours, where it is there: `REKEY_SIGNALR_PARSE` is a program that is called with a
/// version and two files, one of strings by id and one for what that version of the SDK reads in them.
#[test]
fn microsofts_parser_reads_the_same_in_strings_made_at_random() {
    let Some(program) = std::env::var_os("REKEY_SIGNALR_PARSE") else { return };
    let mut rng = fastrand::Rng::with_seed(20);
    let strings: Vec<String> = (0..5000).map(|_| made(&mut rng)).collect();
    let verdicts = ["1.34.0", "1.15.2", "1.0.7"].map(|version| judged(&program, version, &strings));
    let mut signing = 0;
    let mut different = Vec::new();
    for (at, text) in strings.iter().enumerate() {
        let theirs = verdicts.iter().find_map(|verdict| verdict[at].clone());
        let ours = match read(text) {
            Reading::Signs { host, key, .. } => Some((host, key.expose().to_owned())),
            Reading::Identity | Reading::Refused => None,
        };
        signing += usize::from(theirs.is_some());
        if theirs != ours {
            different.push((text, theirs, ours));
        }
    }
    assert!(signing > 1000 && signing < 4000, "{signing} of {} sign", strings.len());
    assert!(different.is_empty(), "{} of {}: {different:#?}", different.len(), strings.len());
}

/// The host and the key with which this version of the SDK signs, for each string.
fn judged(program: &std::ffi::OsStr, version: &str, strings: &[String]) -> Vec<Option<(String, String)>> {
    let folder = tempfile::tempdir().unwrap();
    let [given, found] = ["given.json", "found.json"].map(|name| folder.path().join(name));
    let by_id: std::collections::BTreeMap<String, &String> =
        strings.iter().enumerate().map(|(at, text)| (at.to_string(), text)).collect();
    std::fs::write(&given, serde_json::to_vec(&by_id).unwrap()).unwrap();
    let mut command = std::process::Command::new(program);
    assert!(command.arg(version).args([&given, &found]).status().unwrap().success());
    let found: serde_json::Value = serde_json::from_slice(&std::fs::read(found).unwrap()).unwrap();
    let verdict = |at: usize| {
        let verdict = &found["results"][at.to_string()];
        let text = |name: &str| verdict[name].as_str().map(str::to_lowercase);
        let key = verdict["key"].as_str().filter(|key| !key.is_empty())?;
        Some((text("host")?, key.to_owned()))
    };
    (0..strings.len()).map(verdict).collect()
}

/// A string of parts that people write, in any order, some of them spoilt.
fn made(rng: &mut fastrand::Rng) -> String {
    const ENDPOINTS: [&str; 24] = [
        "https://shop.service.signalr.net",
        "http://shop",
        "HTTPS://Shop.Example/",
        "https://shop.:8443",
        "https://a_b-c",
        "https://me@shop",
        "https://shop/hub?x=1",
        "https:\\\\shop",
        "https://[::1]:90",
        "https://büro.example",
        "wss://shop",
        "shop",
        "https:/shop",
        "https:///shop",
        "https://",
        "https://a..b",
        "https://shop:",
        "https://shop:99999",
        "https://sh op",
        "https://shop\\x",
        "https://sh%20op",
        "https://shop#x",
        "https://-shop",
        "",
    ];
    const REST: [&str; 30] = [
        "Version=1.0",
        "Version=1",
        "version=1.0-preview",
        "Version=1.1.2_a",
        "Version=2.0",
        "Version=1.0+b",
        "Version= 1.0 ",
        "Port=443",
        "Port=0",
        "port=65536",
        "Port= 80 ",
        "Port=x",
        "Port=-1",
        "Port=+8",
        "AuthType=azure",
        "AuthType=azure.msi",
        "AuthType=azure.app",
        "AuthType=aad",
        "AuthType=none",
        "ClientId=c",
        "TenantId=t",
        "ClientSecret=s",
        "ClientEndpoint=https://gw",
        "ClientEndpoint=gw",
        "ServerEndpoint=https://srv",
        "ServerEndpoint=srv",
        "other=1",
        "=",
        "word",
        " ",
    ];
    let endpoint = format!("Endpoint={}", rng.choice(ENDPOINTS).unwrap_or_default());
    let key = rng.choice([KEY, KEY, KEY, "'k'", " k ", "", "k\u{a0}", "k#1"]).unwrap_or_default();
    let mut parts = vec![endpoint, format!("AccessKey={key}")];
    let more = rng.usize(0..4);
    parts.extend((0..more).filter_map(|_| rng.choice(REST)).map(str::to_owned));
    if rng.u8(0..12) == 0 {
        parts.remove(rng.usize(0..parts.len()));
    }
    if rng.u8(0..12) == 0 {
        let twice = parts[rng.usize(0..parts.len())].to_uppercase();
        parts.push(twice);
    }
    rng.shuffle(&mut parts);
    let part = |part: &String| match rng.u8(0..10) {
        0 => format!(" {part}\n"),
        1 => part.replace('=', " = "),
        2 => part.to_lowercase().replace(&KEY.to_lowercase(), KEY),
        _ => part.clone(),
    };
    let text = parts.iter().map(part).collect::<Vec<_>>().join(";");
    if rng.bool() { text + ";" } else { text }
}
