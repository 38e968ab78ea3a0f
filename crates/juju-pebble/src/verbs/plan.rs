//! Layers and the plan they make.

use serde::Serialize;

use crate::{AddLayer, Client, Error, Layer};

impl Client {
    pub(crate) async fn read_plan(&self) -> Result<Layer, Error> {
        Layer::from_yaml(&self.get::<String>("/v1/plan?format=yaml".into()).await?)
    }

    /// Adds a layer, saying what to do when the label is taken.
    ///
    /// Checks and log targets take effect at once; services run as before until they are started
    /// or replanned. An invalid layer leaves the plan as it was.
    ///
    /// # Errors
    /// [`Error::Api`] with status 400 and the daemon's reason when it refuses the layer.
    pub async fn add_layer_with(&self, label: &str, layer: &Layer, how: AddLayer) -> Result<(), Error> {
        #[derive(Serialize)]
        struct Add<'a> {
            action: &'static str,
            combine: bool,
            inner: bool,
            label: &'a str,
            format: &'static str,
            layer: String,
        }
        let AddLayer { combine, inner } = how;
        let layer = layer.to_yaml()?;
        self.order("/v1/layers", &Add { action: "add", combine, inner, label, format: "yaml", layer }).await
    }
}
