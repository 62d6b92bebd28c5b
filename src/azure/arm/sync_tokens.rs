//! What a store of App Configuration told us of its state, and is told again: so it answers with what we have written, whichever
//! of its replicas is asked (docs: App Configuration REST API, real-time consistency).

use std::collections::BTreeMap;

use parking_lot::Mutex;
use reqwest::header::{HeaderMap, HeaderName};

pub(super) const SYNC_TOKEN: HeaderName = HeaderName::from_static("sync-token");

/// The most tokens that are kept of a store. It has one for each of its replicas, of which there are a few.
const MOST: usize = 32;

/// The longest that is kept.
const LONGEST: usize = 1 << 10;

/// The tokens of all stores, by their hosts.
#[derive(Debug, Default)]
pub(super) struct SyncTokens(Mutex<BTreeMap<String, OfStore>>);

/// By the token's id its value, with the number of the state that it tells of.
type OfStore = BTreeMap<String, (String, u64)>;

impl SyncTokens {
    /// The header for the next request to a store, if it has told any.
    pub(super) fn of(&self, host: &str) -> Option<String> {
        let all = self.0.lock();
        let tokens: Vec<_> = all.get(host)?.iter().map(|(id, (value, _))| format!("{id}={value}")).collect();
        Some(tokens.join(","))
    }

    /// Takes down what an answer tells: `id=value;sn=number`, several with a comma between them, of each id the newest.
    pub(super) fn learn(&self, host: &str, headers: &HeaderMap) {
        let told = headers.get_all(SYNC_TOKEN).iter().filter_map(|value| value.to_str().ok());
        for (id, value, number) in told.flat_map(|text| text.split(',')).filter_map(read) {
            let mut all = self.0.lock();
            let tokens = all.entry(host.to_owned()).or_default();
            let is_newer = tokens.get(id).is_none_or(|(_, known)| *known < number);
            if is_newer && (tokens.len() < MOST || tokens.contains_key(id)) {
                tokens.insert(id.to_owned(), (value.to_owned(), number));
            }
        }
    }
}

fn read(token: &str) -> Option<(&str, &str, u64)> {
    let (id, rest) = token.trim().split_once('=')?;
    let (value, number) = rest.rsplit_once(";sn=")?;
    let is_one = token.len() <= LONGEST && !id.is_empty() && !value.is_empty();
    Some((id, value, number.parse().ok()?)).filter(|_| is_one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_token_the_newest_is_told_again_to_its_store() {
        let tokens = SyncTokens::default();
        let learn = |host: &str, text: &'static str| {
            let headers = [(SYNC_TOKEN, text.parse().unwrap())].into_iter().collect();
            tokens.learn(host, &headers);
        };
        assert_eq!(tokens.of("a"), None);
        learn("a", "jtqGc1I4=MDoyOA==;sn=28");
        assert_eq!(tokens.of("a").as_deref(), Some("jtqGc1I4=MDoyOA=="));
        learn("a", "jtqGc1I4=MDoyNw==;sn=27, other=eA==;sn=1,nonsense,x=;sn=1,y=1;sn=z");
        assert_eq!(tokens.of("a").as_deref(), Some("jtqGc1I4=MDoyOA==,other=eA=="));
        learn("a", "jtqGc1I4=MDoyOQ==;sn=29");
        assert_eq!(tokens.of("a").as_deref(), Some("jtqGc1I4=MDoyOQ==,other=eA=="));
        assert_eq!(tokens.of("b"), None);
        for number in 0..100 {
            let text = format!("id{number}=x;sn=1");
            tokens.learn("b", &[(SYNC_TOKEN, text.parse().unwrap())].into_iter().collect());
        }
        assert_eq!(tokens.of("b").unwrap().split(',').count(), MOST);
    }
}
