# The nodes' own network, unless var.network.subnet_id names a subnet that is there. Pods have addresses of their own beside it
# (overlay), and so have Services.
resource "azurerm_virtual_network" "mesh" {
  count = var.network.subnet_id == null ? 1 : 0

  name                = var.name
  resource_group_name = azurerm_resource_group.mesh.name
  location            = azurerm_resource_group.mesh.location
  address_space       = [var.network.address_space]
  tags                = var.tags
}

resource "azurerm_subnet" "nodes" {
  count = var.network.subnet_id == null ? 1 : 0

  name                 = "nodes"
  resource_group_name  = azurerm_resource_group.mesh.name
  virtual_network_name = azurerm_virtual_network.mesh[0].name
  address_prefixes     = [var.network.nodes]
}

locals {
  nodes_subnet_id = var.network.subnet_id == null ? azurerm_subnet.nodes[0].id : var.network.subnet_id
}

# The cluster's identity is made before the cluster: it must be allowed to put nodes and load balancers into the subnet.
resource "azurerm_user_assigned_identity" "cluster" {
  name                = "${var.name}-cluster"
  resource_group_name = azurerm_resource_group.mesh.name
  location            = azurerm_resource_group.mesh.location
  tags                = var.tags
}

resource "azurerm_role_assignment" "cluster_network" {
  scope                            = local.nodes_subnet_id
  role_definition_name             = "Network Contributor"
  principal_id                     = azurerm_user_assigned_identity.cluster.principal_id
  skip_service_principal_aad_check = true
}
