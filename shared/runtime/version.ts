/** Version of this control plane. A test holds it equal to package.json, which Lambda bundles don't carry. */
export const PRODUCT_VERSION = '0.1.0';
