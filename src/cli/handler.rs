//! `handler`: the custom handler that the Functions host starts.

use std::sync::Arc;

use super::{Exit, HANDLER_PORT, load, output};
use crate::cause;
use crate::clock::{Clock, SystemClock};
use crate::compose::{compose, silent};
use crate::config::Environment;
use crate::credentials::is_in_azure;
use crate::doctor::{Circumstances, FirstRun};
use crate::host::{self, Budgets};
use crate::runner::Service;

/// Serves until it is killed. It never leaves with 0: the host does not restart what does.
pub(super) async fn handler(environment: &Environment) -> Exit {
    let config = match load(environment) {
        Ok(config) => config,
        Err(wrong) => return wrong,
    };
    let port = match port(environment) {
        Ok(port) => port,
        Err(why) => {
            output::complain(&why);
            return Exit::Wrong;
        }
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let budgets = Budgets::from(&config);
    let (instances, watch) = (config.instances.len(), config.watch);
    let rekey = match compose(config, environment, Arc::clone(&clock), silent()) {
        Ok(rekey) => rekey,
        Err(error) => {
            output::complain(&cause::told(&error));
            return Exit::Wrong;
        }
    };
    // On a developer's machine there is no platform whose settings could be wrong.
    let as_deployed = is_in_azure(&|name| environment.get(name).map(ToOwned::to_owned));
    let circumstances = Circumstances { environment: environment.clone(), as_deployed };
    let service = Service::new(rekey.clone());
    let runner = FirstRun::new(Arc::clone(&service), rekey, circumstances);
    let served = async {
        let listener = host::listen(port).await?;
        let address = listener.local_addr()?;
        if let Some(every) = watch {
            tokio::spawn(Arc::clone(&service).watch(every));
        }
        tracing::info!(%address, instances, version = env!("CARGO_PKG_VERSION"), "serving the Functions host");
        host::serve(listener, host::router(Arc::new(runner), clock, budgets)).await
    };
    let Err(error) = served.await;
    let what = format!("the handler cannot serve on 127.0.0.1:{port}");
    output::complain(&cause::because(&what, Some(&error)));
    Exit::Failed
}

fn port(environment: &Environment) -> Result<u16, String> {
    let Some(text) = environment.get(HANDLER_PORT) else {
        return Err(format!(
            "{HANDLER_PORT} is not set: the Functions host sets it, so this command is for the host to start \
             (`func start`). To rotate from here, use `signalr-rekey rotate`"
        ));
    };
    text.parse().map_err(|_| format!("{HANDLER_PORT} is no port number"))
}
