//! Azure Resource Manager: answers, regenerations and settings.

use super::harness::*;

#[tokio::test]
async fn errors_have_arms_shape_and_codes() {
    let azure = Azure::start().await;
    let bare = azure.http.get(format!("{}{}?{SIGNALR}", azure.inner.base(), instance("")));
    let answer = bare.send().await.unwrap();
    assert!(header(&answer, "www-authenticate").contains("Bearer"));
    assert_eq!(fault_of(answer).await, (401, "AuthenticationFailed".into()));
    let forged =
        azure.http.get(format!("{}{}?{SIGNALR}", azure.inner.base(), instance(""))).bearer_auth("x.y.z");
    assert_eq!(fault_of(forged.send().await.unwrap()).await, (401, "InvalidAuthenticationToken".into()));
    let foreign = token(&azure.http, &azure.inner, "https://vault.azure.net").await;
    let foreign =
        azure.http.get(format!("{}{}?{SIGNALR}", azure.inner.base(), instance(""))).bearer_auth(foreign);
    assert_eq!(foreign.send().await.unwrap().status(), 401);
    for (path, query, status, code) in [
        (instance(""), "", 400, "MissingApiVersionParameter"),
        (instance(""), "api-version=soon", 400, "InvalidApiVersionParameter"),
        (instance("").replace("sr-demo", "sr-gone"), SIGNALR, 404, "ResourceNotFound"),
        (instance("").replace("rg-demo", "rg-gone"), SIGNALR, 404, "ResourceGroupNotFound"),
        (instance("").replace("0001/", "0002/"), SIGNALR, 404, "SubscriptionNotFound"),
        (instance("/listKeys"), SIGNALR, 405, "MethodNotAllowed"),
        ("/nothing/here".into(), SIGNALR, 404, "NotFound"),
        (format!("{GROUP}/providers/Microsoft.Web/sites/gone"), WEB, 404, "ResourceNotFound"),
    ] {
        assert_eq!(
            fault_of(azure.get(&path, query).await).await,
            (status, code.to_owned()),
            "{path} {query}"
        );
    }
}

#[tokio::test]
async fn answers_carry_arms_headers_and_ids_match_in_any_case() {
    let azure = Azure::start().await;
    let path = instance("/LISTKEYS")
        .replace("resourceGroups/rg-demo", "resourcegroups/RG-Demo")
        .replace("signalR/sr", "SIGNALR/SR");
    let answer = azure.request(Method::POST, &path, SIGNALR).header("x-ms-client-request-id", "mine");
    let answer = answer.header("content-length", "0").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "x-ms-client-request-id"), "mine");
    assert!(
        header(&answer, "x-ms-request-id").len() == 36
            && header(&answer, "x-ms-correlation-request-id").len() == 36
    );
    // POSTs count as writes.
    assert!(answer.headers().contains_key("x-ms-ratelimit-remaining-subscription-writes"));
    let keys = json_of(answer).await;
    let primary = keys["primaryKey"].as_str().unwrap();
    assert_eq!(primary.len(), 84);
    let text = format!("Endpoint=https://sr-demo.service.signalr.net;AccessKey={primary};Version=1.0;");
    assert_eq!(keys["primaryConnectionString"], text);
    assert_ne!(keys["primaryKey"], keys["secondaryKey"]);
}

#[tokio::test]
async fn a_regeneration_is_promised_at_once_and_kept_after_a_while() {
    let azure = Azure::start().await;
    let old = azure.key(KeyType::Secondary);
    let answer = azure.regenerate("secondary").await;
    assert_eq!(answer.status(), 202);
    assert!(!answer.headers().contains_key("retry-after"));
    let status_url = header(&answer, "azure-asyncoperation").to_owned();
    let result_url = header(&answer, "location").to_owned();
    assert!((3000..4096).contains(&status_url.len()), "{}", status_url.len());
    assert!(status_url.starts_with(azure.inner.base()) && result_url.starts_with(azure.inner.base()));
    let promised = json_of(answer).await;
    let new = Key::new(promised["secondaryKey"].as_str().unwrap());
    assert_ne!(new, old);
    assert_eq!(azure.list_keys().await, promised);

    // Until it is in effect the old key works and the new one does not; a second regeneration is refused.
    let poll = |url: String| azure.http.get(url).bearer_auth(&azure.token).send();
    assert_eq!(json_of(poll(status_url.clone()).await.unwrap()).await["status"], "Running");
    let running = poll(result_url.clone()).await.unwrap();
    assert_eq!(running.status(), 202);
    assert!(running.headers().contains_key("location"));
    assert_eq!(azure.probe(&old).await, (StatusCode::NOT_FOUND, "Warning.User.NotExisted".into()));
    assert_eq!(azure.probe(&new).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(fault_of(azure.regenerate("Primary").await).await, (409, "Conflict".into()));

    azure.clock.advance(Duration::from_secs(75));
    let done = json_of(poll(status_url.clone()).await.unwrap()).await;
    assert_eq!(done["status"], "Succeeded");
    assert!(done["endTime"].is_string());
    assert_eq!(json_of(poll(result_url).await.unwrap()).await, promised);
    assert_eq!(azure.probe(&new).await.0, StatusCode::NOT_FOUND);
    let (status, why) = azure.probe(&old).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(why.contains("The signature key was not found"), "{why}");
    // A URL that was rebuilt is another URL.
    let rebuilt = status_url.split("&t=").next().unwrap().to_owned();
    assert_eq!(poll(rebuilt).await.unwrap().status(), 400);
}

#[tokio::test]
async fn salt_changes_no_key_and_nonsense_is_refused() {
    let azure = Azure::start().await;
    let before = azure.list_keys().await;
    assert_eq!(azure.regenerate("salt").await.status(), 202);
    azure.clock.advance(MINUTE * 2);
    assert_eq!(azure.list_keys().await, before);
    assert_eq!(azure.regenerate("Tertiary").await.status(), 400);
    assert_eq!(azure.post(&instance("/regenerateKey"), SIGNALR, json!({})).await.status(), 400);
}

#[tokio::test]
async fn a_put_replaces_the_dictionary_and_restarts_the_app_only_for_a_change() {
    let azure = Azure::start().await;
    let mut events = azure.inner.activity();
    let mut settings = azure.settings("chat-web").await;
    assert!(settings.contains_key("Azure__SignalR__ConnectionString") && settings.contains_key("GREETING"));
    assert_eq!(azure.put_settings("chat-web", &settings).await.status(), 200);
    assert!(events.try_recv().is_err(), "nothing was changed");

    settings.remove("GREETING");
    settings.insert("NEW".into(), "1".into());
    azure.put_settings("CHAT-WEB", &settings).await;
    assert_eq!(azure.settings("chat-web").await, settings);
    let ActivityKind::SettingsChanged { app, names } = events.recv().await.unwrap().what else { panic!() };
    assert_eq!((app.as_str(), names), ("chat-web", vec!["NEW".to_owned(), "GREETING".to_owned()]));
    azure.clock.advance(Duration::from_secs(20));
    assert_eq!(azure.inner.report().refused, 0);
    assert_eq!(events.recv().await.unwrap().what, ActivityKind::Restarted { app: "chat-web".into() });
    let path = format!("{GROUP}/providers/Microsoft.Web/sites/chat-web/config/appsettings");
    let wrong = azure.request(Method::PUT, &path, WEB).json(&json!({"properties": {"A": 1}}));
    assert_eq!(wrong.send().await.unwrap().status(), 400);
    assert_eq!(azure.settings("chat-web").await, settings);
}

#[tokio::test]
async fn connection_strings_keep_their_types_and_reject_unknown_ones() {
    let mut world = World::default();
    world.sites[0].connection_strings.insert(
        "Azure:SignalR:ConnectionString".into(),
        serde_json::from_value(json!({"value": "{secondary:sr-demo}", "type": "Custom"})).unwrap(),
    );
    let azure = Azure::with(world, Options::like_azure()).await;
    let path = format!("{GROUP}/providers/Microsoft.Web/sites/chat-web/config/connectionstrings");
    let listed = json_of(azure.post(&format!("{path}/list"), WEB, json!({})).await).await;
    let entry = &listed["properties"]["Azure:SignalR:ConnectionString"];
    assert_eq!(entry["type"], "Custom");
    assert!(entry["value"].as_str().unwrap().contains(azure.key(KeyType::Secondary).expose()));
    let put = |kind: &str| {
        let body = json!({"properties": {"A": {"value": "v", "type": kind}}});
        azure.request(Method::PUT, &path, WEB).json(&body).send()
    };
    assert_eq!(put("Nonsense").await.unwrap().status(), 400);
    assert_eq!(
        json_of(put("custom").await.unwrap()).await["properties"],
        json!({"A": {"value": "v", "type": "Custom"}})
    );
}

#[tokio::test]
async fn lists_come_in_pages() {
    let site =
        |number: usize| Site { group: "rg-demo".into(), name: format!("app-{number}"), ..Site::default() };
    let world = World { sites: (0..5).map(site).collect(), signalr: Vec::new(), ..World::default() };
    let azure = Azure::with(world, Options { page_size: 2, ..Options::like_azure() }).await;
    let mut next = Some(format!("{}{GROUP}/providers/Microsoft.Web/sites?{WEB}", azure.inner.base()));
    let mut names = Vec::new();
    while let Some(url) = next {
        let page = json_of(azure.http.get(url).bearer_auth(&azure.token).send().await.unwrap()).await;
        let value = page["value"].as_array().unwrap();
        assert!(value.len() <= 2);
        names.extend(value.iter().map(|site| site["name"].as_str().unwrap().to_owned()));
        next = page["nextLink"].as_str().map(str::to_owned);
    }
    assert_eq!(names, ["app-0", "app-1", "app-2", "app-3", "app-4"]);
}

#[tokio::test]
async fn resources_have_the_fields_that_microsofts_clients_need() {
    let azure = Azure::start().await;
    let signalr = json_of(azure.get(&instance(""), SIGNALR).await).await;
    assert_eq!(signalr["properties"]["hostName"], "sr-demo.service.signalr.net");
    assert_eq!(signalr["sku"]["name"], "Standard_S1");
    let slots = format!("{GROUP}/providers/Microsoft.Web/sites/chat-web/slots");
    let slots = json_of(azure.get(&slots, WEB).await).await;
    assert_eq!(slots["value"][0]["name"], "chat-web/staging");
    assert_eq!(slots["value"][0]["type"], "Microsoft.Web/sites/slots");
    for field in ["serverFarmId", "sku"] {
        assert!(slots["value"][0]["properties"][field].is_string(), "{field}");
    }
    let site = format!("{GROUP}/providers/Microsoft.Web/sites/chat-web");
    for path in ["/config/slotConfigNames", "/config/web", "/slots/staging", "/slots/staging/config/web"] {
        assert_eq!(azure.get(&format!("{site}{path}"), WEB).await.status(), 200, "{path}");
    }
    for path in ["/tenants", "/subscriptions", GROUP] {
        assert_eq!(azure.get(path, "api-version=2022-12-01").await.status(), 200, "{path}");
    }
    let endpoints = json_of(azure.get("/metadata/endpoints", "api-version=2022-09-01").await).await;
    assert_eq!(endpoints["resourceManager"], format!("{}/", azure.inner.base()));
    let endpoints = json_of(azure.get("/metadata/endpoints", "api-version=2019-05-01").await).await;
    assert!(endpoints[0]["authentication"]["loginEndpoint"].is_string());
    let links = azure
        .request(Method::POST, &instance("/regenerateKey"), SIGNALR)
        .json(&json!({"keyType": "Primary"}));
    let links = links
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", "front:8443")
        .send()
        .await
        .unwrap();
    assert!(header(&links, "location").starts_with("https://front:8443/subscriptions/"));
}

#[tokio::test]
async fn latency_is_that_of_arm_alone() {
    let azure =
        Azure::with(World::default(), Options { latency: Duration::from_secs(3), ..Options::like_azure() })
            .await;
    let before = azure.clock.now();
    azure.probe(&azure.key(KeyType::Primary)).await;
    assert_eq!(azure.clock.now(), before);
    azure.get(&instance(""), SIGNALR).await;
    assert_eq!(azure.clock.now() - before, TimeDelta::seconds(3));
}

#[tokio::test]
async fn a_forced_regeneration_overtakes_one_that_runs() {
    let azure = Azure::start().await;
    azure.regenerate("Secondary").await;
    azure.inner.regenerate("sr-demo", &[KeyType::Secondary]).unwrap();
    let forced = azure.key(KeyType::Secondary);
    azure.clock.advance(2 * MINUTE);
    assert_eq!(azure.key(KeyType::Secondary), forced);
    assert_eq!(azure.list_keys().await["secondaryKey"], forced.expose());
}

#[tokio::test]
async fn arm_knows_its_regions_its_providers_and_what_they_hold() {
    let azure = Azure::start().await;
    let subscription = GROUP.split("/resourceGroups").next().unwrap();
    let ask = async |path: &str, query: &str| {
        json_of(azure.get(path, &format!("api-version=2022-12-01{query}")).await).await
    };
    let locations = ask(&format!("{subscription}/locations"), "").await;
    assert_eq!(locations["value"][0]["id"], format!("{subscription}/locations/eastus"));
    let providers = ask(&format!("{subscription}/providers"), "").await;
    assert_eq!(providers["value"][0]["registrationState"], "Registered");
    let provider = ask(&format!("{subscription}/providers/microsoft.signalrservice"), "").await;
    assert_eq!(provider["resourceTypes"][0]["apiVersions"][0], "2024-03-01");
    let unknown = format!("{subscription}/providers/Microsoft.Gone");
    let missing = azure.get(&unknown, "api-version=2022-12-01").await;
    assert_eq!(fault_of(missing).await, (404, "InvalidResourceNamespace".into()));

    let everything = format!("{subscription}/resources");
    for (path, filter, expected) in [
        (&everything, "", vec!["sr-demo", "chat-web", "chat-web/staging", "chat-func"]),
        (&everything, "&$filter=resourceType eq 'microsoft.web/SITES'", vec!["chat-web", "chat-func"]),
        (&everything, "&$filter=name eq 'chat-func' and resourceGroup eq 'RG-Demo'", vec!["chat-func"]),
        (&everything, "&$filter=location eq 'eastus' and name eq 'sr-demo'", vec!["sr-demo"]),
        (&format!("{GROUP}/resources"), "&$filter=resourceGroup eq 'rg-gone'", vec![]),
    ] {
        let found = ask(path, filter).await;
        let names: Vec<_> = found["value"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
        assert_eq!(names, expected, "{filter}");
        assert!(found["value"].as_array().unwrap().iter().all(|one| one["properties"].is_null()));
    }
    let wrong = azure.get(&everything, "api-version=2022-12-01&$filter=substringof('a', name)").await;
    assert_eq!(fault_of(wrong).await, (400, "InvalidFilterInQueryString".into()));
    for (group, status) in [(GROUP.to_owned(), 204), (GROUP.replace("rg-demo", "rg-gone"), 404)] {
        let asked = azure.request(Method::HEAD, &group, "api-version=2022-12-01").send().await.unwrap();
        assert_eq!(asked.status(), status, "{group}");
    }
}

#[tokio::test]
async fn publishing_profiles_are_xml_and_hold_no_secret() {
    let azure = Azure::start().await;
    for (app, host) in [("chat-web", "chat-web"), ("chat-web/slots/staging", "chat-web-staging")] {
        let path = format!("{GROUP}/providers/Microsoft.Web/sites/{app}/publishxml");
        let answer = azure.post(&path, WEB, json!({"format": "WebDeploy"})).await;
        assert_eq!(header(&answer, "content-type"), "application/xml");
        let text = answer.text().await.unwrap();
        assert!(text.contains("publishMethod=\"FTP\" publishUrl=\"ftps://"), "{text}");
        assert!(text.contains(&format!("https://{host}.azurewebsites.net")), "{text}");
        assert_eq!(text.matches("userPWD=\"none\"").count(), 3);
    }
}

#[tokio::test]
async fn the_slots_of_a_group_are_listed_when_asked_for_and_the_next_page_remembers_it() {
    let azure = Azure::with(World::default(), Options { page_size: 2, ..Options::like_azure() }).await;
    let path = format!("{GROUP}/providers/Microsoft.Web/sites");
    let first = json_of(azure.get(&path, &format!("{WEB}&includeSlots=true")).await).await;
    assert_eq!(first["value"][1]["name"], "chat-web/staging");
    let next = azure.http.get(first["nextLink"].as_str().unwrap()).bearer_auth(&azure.token);
    let next = json_of(next.send().await.unwrap()).await;
    assert_eq!(
        (&next["value"][0]["name"], next["value"].as_array().unwrap().len()),
        (&json!("chat-func"), 1)
    );
    let without = json_of(azure.get(&path, WEB).await).await;
    assert_eq!(without["value"][1]["name"], "chat-func");
}

#[tokio::test]
async fn links_start_with_the_public_base_and_doubled_slashes_do_not_matter() {
    let public_base = Some("https://azure.example:8443".parse().unwrap());
    let azure = Azure::with(World::default(), Options { public_base, ..Options::like_azure() }).await;
    let answer = azure.regenerate("Primary").await;
    for link in ["location", "azure-asyncoperation"] {
        assert!(header(&answer, link).starts_with("https://azure.example:8443/subscriptions/"), "{link}");
    }
    let endpoints = json_of(azure.get("/metadata/endpoints", "api-version=2022-09-01").await).await;
    assert_eq!(endpoints["resourceManager"], "https://azure.example:8443/");
    assert_eq!(endpoints["suffixes"]["keyVaultDns"], "azure.example:8443");
    let discovery = json_of(azure.get("/common/discovery/instance", "").await).await;
    assert_eq!(discovery["metadata"][0]["aliases"][0], "azure.example:8443");
    let doubled = format!("/{}", instance("").replace("SignalRService/", "SignalRService//"));
    assert_eq!(azure.get(&doubled, SIGNALR).await.status(), 200);
}

#[tokio::test]
async fn listed_keys_may_lag_behind_the_promised_ones() {
    let azure =
        Azure::with(World::default(), Options { list_keys_lags: true, ..Options::like_azure() }).await;
    let before = azure.list_keys().await;
    let promised = json_of(azure.regenerate("Secondary").await).await;
    assert_ne!(promised, before);
    assert_eq!(azure.list_keys().await, before);
    azure.clock.advance(Duration::from_secs(75));
    assert_eq!(azure.list_keys().await, promised);
}

#[tokio::test]
async fn keys_that_are_switched_off_are_deleted_and_come_back_as_new_ones() {
    for keys_off in [KeysOff::Empty, KeysOff::Refused] {
        let azure = Azure::with(World::default(), Options { keys_off, ..Options::like_azure() }).await;
        let before = azure.list_keys().await;
        let old = azure.key(KeyType::Primary);
        azure.regenerate("Secondary").await;
        let switch = async |disabled: bool| {
            let body = json!({"instance": "sr-demo", "disabled": disabled});
            assert_eq!(azure.post("/sim/local-auth", "", body).await.status(), StatusCode::OK);
        };
        switch(true).await;
        let listed = azure.post(&instance("/listKeys"), SIGNALR, json!({})).await;
        let wanted = if keys_off == KeysOff::Empty { StatusCode::OK } else { StatusCode::BAD_REQUEST };
        assert_eq!(listed.status(), wanted);
        assert!(!listed.text().await.unwrap().contains("Key\":"));
        assert_eq!(azure.regenerate("Primary").await.status(), StatusCode::BAD_REQUEST);
        assert_eq!(azure.probe(&old).await.0, StatusCode::UNAUTHORIZED);
        // The regeneration that was under way makes none either.
        azure.clock.advance(2 * MINUTE);
        switch(false).await;
        let after = azure.list_keys().await;
        for name in ["primaryKey", "secondaryKey"] {
            assert!(after[name].is_string() && after[name] != before[name], "{name}");
        }
        assert_eq!(azure.probe(&old).await.0, StatusCode::UNAUTHORIZED, "a deleted key stays deleted");
        assert_eq!(azure.probe(&azure.key(KeyType::Primary)).await.0, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn a_list_over_a_subscription_leaves_out_what_may_not_be_read_and_says_nothing_of_it() {
    let azure = Azure::start().await;
    let subscription = GROUP.split("/resourceGroups").next().unwrap();
    let path = format!("{subscription}/providers/Microsoft.Web/sites");
    let site = format!("{GROUP}/providers/Microsoft.Web/sites/chat-func");
    azure.inner.with(|state| state.deny(&site, "Microsoft.Web/sites/Read"));
    let listed = json_of(azure.get(&path, WEB).await).await;
    let names: Vec<_> = listed["value"].as_array().unwrap().iter().map(|site| &site["name"]).collect();
    assert_eq!(names, ["chat-web"]);
}

#[tokio::test]
async fn an_app_that_is_drained_serves_on_for_an_hour_and_says_that_it_is() {
    let mut world = World::default();
    world.sites[1].update_strategy = Some(UpdateStrategy::RollingUpdate);
    let azure = Azure::with(world, Options::like_azure()).await;
    let site = |name: &str| format!("{GROUP}/providers/Microsoft.Web/sites/{name}");
    let of_func = json_of(azure.get(&site("chat-func"), WEB).await).await;
    assert_eq!(of_func["properties"]["functionAppConfig"]["siteUpdateStrategy"]["type"], "RollingUpdate");
    let of_web = json_of(azure.get(&site("chat-web"), WEB).await).await;
    assert_eq!(of_web["properties"]["functionAppConfig"], Value::Null);
    for app in ["chat-web", "chat-func"] {
        azure.inner.edit_setting(app, "A", Some("1")).unwrap();
    }
    let restarting =
        || ["chat-web", "chat-func"].map(|app| azure.inner.with(|state| state.is_restarting(app)).unwrap());
    azure.clock.advance(HOUR);
    assert_eq!(restarting(), [false, true]);
    azure.clock.advance(MINUTE);
    assert_eq!(restarting(), [false, false]);
}

#[tokio::test]
async fn replicas_are_listed() {
    let mut world = World::default();
    world.signalr[0].replicas = vec!["westus".into()];
    let azure = Azure::with(world, Options::like_azure()).await;
    let listed = json_of(azure.get(&instance("/replicas"), SIGNALR).await).await;
    assert_eq!(listed["value"][0]["location"], "westus");
}
