# By this identity pods fetch models from object storage without a key: those of the ServiceAccount that the chart's
# inference.weights.serviceAccount names (README.md says how it is made).
resource "azurerm_user_assigned_identity" "weights" {
  count = var.weights == null ? 0 : 1

  name                = "${var.name}-weights"
  resource_group_name = azurerm_resource_group.mesh.name
  location            = azurerm_resource_group.mesh.location
  tags                = var.tags
}

resource "azurerm_federated_identity_credential" "weights" {
  count = var.weights == null ? 0 : 1

  name                      = "weights"
  user_assigned_identity_id = azurerm_user_assigned_identity.weights[0].id
  audience                  = ["api://AzureADTokenExchange"]
  issuer                    = azurerm_kubernetes_cluster.mesh.oidc_issuer_url
  subject                   = "system:serviceaccount:${var.weights.namespace}:${var.weights.service_account}"
}

resource "azurerm_role_assignment" "weights" {
  count = var.weights == null ? 0 : 1

  scope                            = var.weights.storage_account_id
  role_definition_name             = "Storage Blob Data Reader"
  principal_id                     = azurerm_user_assigned_identity.weights[0].principal_id
  skip_service_principal_aad_check = true
}
