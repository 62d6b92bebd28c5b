//! `signalr-rekey notice`: what an event would do, and firing it at a handler.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use std::io::Write;
use std::process::{Output, Stdio};

use common::program::{Azure, Handler, free_port, text, timeless};
use serde_json::{Value, json};

const INSTANCE: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers\
                        /Microsoft.SignalRService/signalR/sr-demo";

fn regenerated() -> Value {
    json!({
        "id": "1", "type": "Microsoft.Resources.ResourceActionSuccess", "specversion": "1.0", "source": INSTANCE,
        "data": { "operationName": "Microsoft.SignalRService/SignalR/regenerateKey/action" },
    })
}

fn alert() -> Value {
    let context = json!({ "properties": { "service": "Azure SignalR Service" } });
    let targets = ["/subscriptions/00000000-0000-0000-0000-000000000001"];
    let essentials = json!({ "monitoringService": "ServiceHealth", "alertTargetIDs": targets });
    json!({ "schemaId": "azureMonitorCommonAlertSchema", "data": { "essentials": essentials, "alertContext": context } })
}

/// Runs it with an event on its standard input.
fn notice(azure: &Azure, event: &str, arguments: &[&str]) -> Output {
    notice_with(&[], azure, event, arguments)
}

/// The same with app settings.
fn notice_with(settings: &[(&str, &str)], azure: &Azure, event: &str, arguments: &[&str]) -> Output {
    let mut command = azure.command(&[&["notice", "-"], arguments].concat());
    command.envs(settings.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Who refuses the command line has gone before he read the event.
    drop(child.stdin.take().unwrap().write_all(event.as_bytes()));
    child.wait_with_output().unwrap()
}

#[test]
fn it_says_what_events_mean_and_would_do_and_asks_nobody() {
    let azure = Azure::start(&[]);
    let reading = json!({
        "id": "2", "eventType": "Microsoft.Resources.ResourceActionSuccess", "subject": INSTANCE,
        "data": { "operationName": "Microsoft.SignalRService/SignalR/listKeys/action" },
    });
    let site = INSTANCE.replace("Microsoft.SignalRService/signalR/sr-demo", "Microsoft.Web/sites/chat-web");
    let edited = json!({ "type": "Microsoft.Web.AppUpdated", "source": site, "data": {} });
    let time = "2026-09-21T08:30:00Z";
    let exposed =
        json!({ "type": "SignalRRekey.KeysExposed", "time": time, "data": { "instance": INSTANCE } });
    let announced = json!({
        "type": "SignalRRekey.RegenerationAnnounced", "time": time,
        "data": { "instance": INSTANCE, "keyTypes": ["Primary"], "deadline": in_days(3) },
    });
    let wrong = json!({ "type": "SignalRRekey.KeysExposed", "data": {} });
    let events = json!([regenerated(), reading, edited, alert(), exposed, announced, wrong, { "type": "Contoso.Any" }]);
    let said = notice(&azure, &events.to_string(), &[]);
    assert_eq!(said.status.code(), Some(1), "one of them would be refused: {}", text(&said.stderr));
    insta::assert_snapshot!(timeless(&text(&said.stdout)), @r"
    Microsoft.Resources.ResourceActionSuccess: a key of sr-demo was regenerated
      sr-demo: check its keys; unless the regeneration was our own, check all its apps and repair consumers that hold an invalid key
    Microsoft.Resources.ResourceActionSuccess: keys or settings were read
      nothing would be done
    Microsoft.Web.AppUpdated: the app chat-web changed
      sr-demo: check its keys and chat-web, chat-web/staging; if anything is new there, check all its apps
    azureMonitorCommonAlertSchema: Azure Service Health names SignalR
      sr-demo: check its keys and all its apps, and repair consumers that hold an invalid key
    SignalRRekey.KeysExposed: the keys of sr-demo are reported as compromised
      sr-demo: rotate now, and regenerate the compromised keys after exposed_grace; not more often than min_rotation_interval
      warning: sr-demo: the event's time TIME is more than an hour ago: keys that were rotated since, because they were reported as compromised, are taken for those that it means, and nothing is done. If keys were leaked later, give the time of that leak and publish it again
    SignalRRekey.RegenerationAnnounced: the Primary key of sr-demo will be regenerated at TIME
      sr-demo: rotate now if consumers hold a key that will be regenerated; not more often than min_rotation_interval
      sr-demo: watch its keys closely from TIME until TIME, and repair the apps at once when one is regenerated
    SignalRRekey.KeysExposed: not understood: its data has no instance
      it would be refused: its data has no instance
    Contoso.Any: unrelated event
      nothing would be done
    ");
    let said = notice(&azure, &regenerated().to_string(), &["--json"]);
    insta::assert_snapshot!(text(&said.stdout), @r#"
    {
      "schemaVersion": 1,
      "events": [
        {
          "id": "1",
          "kind": "Microsoft.Resources.ResourceActionSuccess",
          "means": "a key of sr-demo was regenerated",
          "does": [
            "sr-demo: check its keys; unless the regeneration was our own, check all its apps and repair consumers that hold an invalid key"
          ],
          "warnings": []
        }
      ],
      "fired": null
    }
    "#);
}

fn in_days(days: i64) -> String {
    (chrono::Utc::now() + chrono::TimeDelta::days(days)).to_rfc3339()
}

/// Of events that are understood, and do less than their sender wants.
#[test]
fn it_says_what_is_most_probably_not_meant() {
    let azure = Azure::start(&[]);
    let said = |data: &[(&str, Value)], time: Option<&str>| {
        let mut event = json!({
            "type": "SignalRRekey.RegenerationAnnounced", "time": time,
            "data": { "instance": INSTANCE, "keyTypes": ["Primary"] },
        });
        for (name, value) in data {
            event["data"][name] = value.clone();
        }
        let said = notice(&azure, &event.to_string(), &[]);
        let told = text(&said.stdout);
        let warnings =
            told.lines().filter_map(|line| line.split_once("  warning: sr-demo: ")).map(|(_, said)| said);
        (said.status.code(), told.contains("watch its keys"), warnings.collect::<Vec<_>>().join("\n"))
    };
    let time = Some("2026-09-21T08:30:00Z");
    let deadline = |days| ("deadline", Value::from(in_days(days)));
    assert_eq!(said(&[deadline(3)], time), (Some(0), true, String::new()));

    let (code, watched, warning) = said(&[deadline(-2)], time);
    assert_eq!((code, watched), (Some(0), false));
    assert!(warning.contains("(2 d ago) is past, so the keys are not watched"), "{warning}");
    let minutes = (chrono::Utc::now() - chrono::TimeDelta::minutes(10)).to_rfc3339();
    let (code, watched, warning) = said(&[("deadline", minutes.into())], time);
    assert_eq!((code, watched), (Some(0), true));
    assert!(warning.contains("ago) is past: the keys are watched for the rest"), "{warning}");

    let (code, watched, warning) = said(&[deadline(400)], time);
    assert_eq!((code, watched), (Some(0), false));
    assert!(warning.contains("is more than a year away, so the keys are not watched"), "{warning}");

    let (_, _, warning) = said(&[], time);
    assert!(warning.starts_with("no deadline is given"), "{warning}");
    for time in [None, Some("2026-09-21T08:30:00")] {
        let (_, watched, warning) = said(&[deadline(3)], time);
        assert!(watched && warning.starts_with("the event has no time with Z or an offset"), "{warning}");
    }
    for both in [json!(null), json!(["Secondary", "Primary"])] {
        let (_, watched, warning) = said(&[deadline(3), ("keyTypes", both)], time);
        assert!(watched && warning.starts_with("both keys will be regenerated"), "{warning}");
    }
    // A deadline that is lost in silence is the worst of them.
    assert_eq!(said(&[("deadlin", in_days(3).into())], time).0, Some(1));

    let leak =
        json!({ "type": "SignalRRekey.KeysExposed", "data": { "instance": INSTANCE, "reporter": "me" } });
    let told = text(&notice(&azure, &leak.to_string(), &["--json"]).stdout);
    let answer: Value = serde_json::from_str(&told).unwrap();
    let warnings = answer["events"][0]["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 2, "{told}");
    assert!(warnings[0].as_str().unwrap().contains("no time"), "{told}");
    assert!(warnings[1].as_str().unwrap().contains("a member besides instance"), "{told}");
}

#[test]
fn what_is_no_event_is_refused_by_its_place() {
    let azure = Azure::start(&[]);
    for (event, fault) in [
        ("{", "- is not JSON (line 1, column 1)"),
        ("5", "cannot understand standard input: it is neither an event nor a list of events"),
        (
            "[{\"type\":\"a\"},{}]",
            "cannot understand standard input, event 1: it has neither eventType nor type",
        ),
    ] {
        let refused = notice(&azure, event, &[]);
        let told = text(&refused.stderr);
        assert_eq!((refused.status.code(), told.starts_with(fault)), (Some(2), true), "{told}");
        // What belongs there is said of what is JSON, and no event.
        assert_eq!(told.contains("What is expected is an event of Event Grid"), event != "{", "{told}");
    }
    let missing = azure.run(&["notice", "no-such-file.json"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing.stderr).starts_with("cannot read no-such-file.json"), "{}", text(&missing.stderr));
    let elsewhere = notice(&azure, "{}", &["--fire", "http://example.com"]);
    assert_eq!(elsewhere.status.code(), Some(2), "an event is fired at this machine alone");
}

#[tokio::test]
async fn it_fires_events_and_alerts_at_a_handler() {
    let azure = Azure::start(&[]);
    let port = free_port();
    let handler = Handler::start_at(port, &azure, &["handler"]).await;
    handler.tick().await;
    let url = format!("http://127.0.0.1:{port}");
    for event in [regenerated(), alert()] {
        azure.force("sr-demo", "Both").await;
        let fired = notice(&azure, &event.to_string(), &["--fire", &url]);
        assert_eq!(fired.status.code(), Some(0), "{}", text(&fired.stderr));
        assert!(text(&fired.stdout).contains("in the place of an invalid one"), "{}", text(&fired.stdout));
    }
    // What has nothing to do, and what was answered before, is answered too, in words and for machines.
    let idle = json!({ "id": "7", "type": "Contoso.Any" });
    for event in [idle, regenerated()] {
        let said = notice(&azure, &event.to_string(), &["--fire", &url]);
        assert_eq!(said.status.code(), Some(0), "{}", text(&said.stderr));
        assert!(!text(&said.stdout).trim().is_empty(), "{event}: {}", text(&said.stderr));
        let said = notice(&azure, &event.to_string(), &["--fire", &url, "--json"]);
        let answer: Value = serde_json::from_slice(&said.stdout).unwrap();
        let fired = &answer["fired"];
        assert_eq!(
            (&answer["schemaVersion"], &answer["events"][0]["id"]),
            (&json!(1), &event["id"]),
            "{answer}"
        );
        assert_eq!((&fired["function"], &fired["status"]), (&json!("OnKeyNotice"), &json!(200)), "{answer}");
    }
    let idle = notice(&azure, &json!({ "type": "Contoso.Any" }).to_string(), &["--fire", &url]);
    insta::assert_snapshot!(text(&idle.stdout), @"OnKeyNotice answered 200 and reports nothing that it did: the event calls for nothing, or was handled before");
    let wrong = json!({ "id": "9", "type": "SignalRRekey.KeysExposed", "data": {} });
    let failed = notice(&azure, &wrong.to_string(), &["--fire", &url]);
    assert_eq!(failed.status.code(), Some(1));
    let said = text(&failed.stderr);
    assert!(said.contains("OnKeyNotice answered 500") && said.contains("its data has no instance"), "{said}");
    drop(handler.kill());
    let nobody = notice(&azure, &regenerated().to_string(), &["--fire", &url]);
    assert_eq!(nobody.status.code(), Some(2));
    assert!(text(&nobody.stderr).contains("start it, or give its port"), "{}", text(&nobody.stderr));
}

/// Of approvals: one from a time to come, one of long ago, and one of a service that asks for none.
#[test]
fn it_says_of_an_approval_what_is_most_probably_not_meant() {
    let azure = Azure::start(&[]);
    let said = |time: String, settings: &[(&str, &str)]| {
        let event = json!({
            "type": "SignalRRekey.RotationApproved", "time": time,
            "data": { "instance": INSTANCE, "key": "0123456789abcdef", "by": "ada" },
        });
        let done = notice_with(settings, &azure, &event.to_string(), &["--json"]);
        let answer: Value = serde_json::from_slice(&done.stdout).unwrap();
        let warnings = answer["events"][0]["warnings"].as_array().unwrap().clone();
        warnings.iter().map(|warning| warning.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let required = &[("REKEY_APPROVAL", "required")][..];
    assert_eq!(said(in_days(0), required), Vec::<String>::new());
    for (time, settings, words) in [
        (in_days(2), required, "still to come: it approves nothing"),
        (in_days(-8), required, "more than a week ago"),
        (in_days(0), &[], "wait for no approval"),
    ] {
        let [warning] = &said(time, settings)[..] else { panic!("{words}") };
        assert!(warning.contains(words), "{warning}");
    }
}
