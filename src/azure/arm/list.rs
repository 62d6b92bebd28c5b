//! Lists, page by page; of the subscriptions that the identity can see, too.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::Arm;
use super::contract::Operation;
use super::error::{ArmError, ArmErrorKind};
use super::request::Call;

use crate::report::text::azure as words;

pub(super) const SUBSCRIPTIONS: Operation =
    Operation::read("Subscriptions_List", &["Microsoft.Resources/subscriptions/read"]);

/// Microsoft.Resources, subscriptions.
const API_VERSION: &str = "2022-12-01";

/// More pages than any subscription has (a page of sites holds 100 and more, a subscription a few thousand): who sends
/// more sends us in circles.
const MOST_PAGES: usize = 1000;

/// The most bytes of a list that are read over all its pages. A site is some 20 kB of it, so this is more than any
/// subscription has too, and far below a thousand pages of the largest answer.
const LARGEST_LIST: usize = 128 << 20;

/// A subscription that the identity can see.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscription {
    /// Its id.
    #[serde(rename = "subscriptionId")]
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub display_name: String,
    /// `Enabled`, `Disabled`, `Warned` and so on.
    #[serde(default)]
    pub state: String,
}

impl Arm {
    /// `Subscriptions_List`, all pages: those that the identity can see.
    pub async fn list_subscriptions(&self) -> Result<Vec<Subscription>, ArmError> {
        self.pages(SUBSCRIPTIONS, self.url("/subscriptions", API_VERSION)).await
    }

    /// All items of a list, along its `nextLink`s, which never lead off the host that was asked.
    pub(crate) async fn pages<T: DeserializeOwned>(
        &self,
        operation: Operation,
        first: Url,
    ) -> Result<Vec<T>, ArmError> {
        let (mut items, mut length) = (Vec::new(), 0);
        let mut call = Call::get(operation, first);
        for _ in 0..MOST_PAGES {
            let answer = self.send(&call).await?;
            length += answer.length();
            if length > LARGEST_LIST {
                break;
            }
            let page: Page<T> = answer.json(&call)?;
            items.extend(page.value);
            let Some(link) = page.next_link.filter(|link| !link.is_empty()) else { return Ok(items) };
            let next = call.url.join(&link).ok().filter(|next| self.is_ours(next));
            let strange = || answer.fault(&call, ArmErrorKind::Malformed, words::STRANGE_LINK);
            call = Call::get(operation, next.ok_or_else(strange)?);
        }
        Err(ArmError::new(ArmErrorKind::Malformed, &call.about(), words::ENDLESS_LIST))
    }
}

#[derive(Deserialize)]
struct Page<T> {
    value: Vec<T>,
    #[serde(rename = "nextLink")]
    next_link: Option<String>,
}
