//! That somebody wrote an old string back, and in which time he did.

use super::*;

const SECONDARY: KeyType = KeyType::Secondary;

/// A service whose two apps were moved from the key `p` to `s2`, as they were seen since.
fn moved() -> Story {
    let mut story = Story::new();
    story.policy.name_writers = true;
    story.look(&seen(0, "s", &[P, P]));
    story.regenerate(at(7200), SECONDARY, "s2");
    story.event(at(7300), Event::RepointIntended { key_type: SECONDARY });
    let apps = vec![app(0), app(1)];
    story.event(at(7301), Event::Repointed { key_type: SECONDARY, apps, repaired: false });
    story.look(&seen(7310, "s2", &[S, S]));
    story
}

/// A check that has read each app.
fn seen(time: i64, secondary: &str, holds: &[Holding]) -> Snapshot {
    let mut seen = snapshot(at(time), "p", secondary, holds);
    for one in seen.consumers.clone() {
        let key = match one.holds {
            Holding::Valid(key_type) => seen.keys[key_type].clone(),
            Holding::Stale(key) => key,
            Holding::Identity => continue,
        };
        seen.seen.insert(one.at.app, vec![key]);
    }
    seen
}

/// Whom a check shows with what he had left.
fn told(story: &Story, seen: &Snapshot) -> Option<Vec<ConsumerId>> {
    let mut news = reconcile(seen, &story.journal, &story.policy, seen.at).into_iter();
    news.find_map(|event| match event {
        Event::WrittenBack { consumers } => Some(consumers.into_keys().collect()),
        _ => None,
    })
}

#[test]
fn an_old_string_is_one_that_an_app_had_left_and_was_not_given_by_us() {
    let story = moved();
    let stale = Holding::Stale(fingerprint("s"));
    for (holds, expected) in [
        ([S, S], None),
        ([P, S], Some(vec![app(0)])),
        ([S, stale.clone()], Some(vec![app(1)])),
        ([Holding::Stale(fingerprint("of another service")), S], None),
    ] {
        assert_eq!(told(&story, &seen(9000, "s2", &holds)), expected, "{holds:?}");
    }
    // The key in use was regenerated from outside: nobody wrote anything.
    let replaced = Holding::Stale(fingerprint("s2"));
    assert_eq!(told(&story, &seen(9000, "s3", &[replaced.clone(), replaced])), None);
    // Of these it cannot be told.
    let mut echoed = seen(9000, "s2", &[P, S]);
    echoed.echoed = true;
    let mut unsure = seen(9000, "s2", &[P, S]);
    unsure.may_hold.insert(unsure.consumers[0].at.clone());
    let mut reader = seen(9000, "s2", &[P, S]);
    reader.reads.insert((app(0), app(9)));
    for snapshot in [echoed, unsure, reader] {
        assert_eq!(told(&story, &snapshot), None, "{snapshot:?}");
    }
    let mut off = moved();
    off.policy.name_writers = false;
    assert_eq!(told(&off, &seen(9000, "s2", &[P, S])), None);
}

#[test]
fn it_is_asked_about_the_time_since_we_wrote_or_all_were_read_until_somebody_is_named_or_given_up() {
    let mut story = moved();
    story.look(&seen(9000, "s2", &[P, S]));
    let open = |story: &Story| unnamed(&story.journal, &story.policy);
    let asked = Unnamed { app: app(0), from: at(7301), until: at(9000) };
    assert_eq!(open(&story), std::slice::from_ref(&asked));
    assert!(!asked.is_due(at(9000)) && asked.is_due(at(9000 + 1500)));
    story.look(&seen(9100, "s2", &[P, S]));
    assert_eq!(open(&story), [asked], "it is told once");
    let mut named = story.clone();
    let (by, action) = ("ada@example.com".into(), "write".into());
    named.event(at(9200), Event::WriterNamed { consumer: app(0), by, written: at(8999), action });
    assert_eq!(open(&named), []);
    let mut given_up = story.clone();
    let consumers = [app(0)].into();
    given_up.event(at(9200), Event::WriterUnknown { consumers, detail: "403".into() });
    assert_eq!(open(&given_up), []);
    let mut off = story.clone();
    off.policy.name_writers = false;
    assert_eq!(open(&off), []);
    // Who wrote it days after we did wrote it since all were read last.
    named.look(&seen(90_000, "s2", &[S, S]));
    named.look(&seen(100_000, "s2", &[P, S]));
    assert_eq!(open(&named)[0].from, at(100_000 - 3600 - 1800));
}

#[test]
fn the_last_write_of_an_app_or_of_its_settings_names_its_writer() {
    let site = app(0).to_string();
    let slot: ConsumerId = AppId::new("s", "g", "app-0", Some("staging")).into();
    let open = |app: &ConsumerId| vec![Unnamed { app: app.clone(), from: at(100), until: at(200) }];
    let write = |below: &str, action: &str, time: i64| LoggedWrite {
        resource: format!("{}{below}", site.to_uppercase()),
        action: format!("Microsoft.Web/sites/{action}"),
        by: format!("{time}"),
        at: at(time),
        ours: false,
    };
    let named = |app: &ConsumerId, log: &[LoggedWrite]| {
        let (named, unnamed) = name(open(app), log);
        assert_eq!(named.len() + unnamed.len(), 1);
        named.into_iter().find_map(|event| match event {
            Event::WriterNamed { by, .. } => Some(by),
            _ => None,
        })
    };
    let settings = "/config/appSettings";
    let log =
        [write(settings, "config/write", 120), write("", "write", 150), write(settings, "config/write", 201)];
    assert_eq!(named(&app(0), &log), Some("150".to_owned()), "before it was seen");
    let ours = LoggedWrite { ours: true, ..write(settings, "config/write", 160) };
    for other in [
        ours,
        write(settings, "config/write", 99),
        write("/config/web", "config/write", 150),
        write("/hostNameBindings/x", "hostNameBindings/write", 150),
        write("", "restart/action", 150),
        write("/slots/staging/config/appsettings", "slots/config/write", 150),
        write("-other/config/appsettings", "config/write", 150),
    ] {
        assert_eq!(named(&app(0), std::slice::from_ref(&other)), None, "{other:?}");
    }
    let of_slot = write("/slots/staging/config/appsettings", "slots/config/write", 150);
    assert_eq!(named(&slot, &[of_slot]), Some("150".to_owned()));
    let swap = [write("/slots/staging", "slots/slotsswap/action", 150)];
    assert_eq!(
        (named(&app(0), &swap), named(&slot, &swap)),
        (Some("150".to_owned()), Some("150".to_owned()))
    );
}
