resource "azurerm_resource_group" "mesh" {
  name     = var.name
  location = var.location
  tags     = var.tags
}

resource "azurerm_container_registry" "images" {
  name                = var.registry_name
  resource_group_name = azurerm_resource_group.mesh.name
  location            = azurerm_resource_group.mesh.location
  sku                 = "Standard"
  admin_enabled       = false
  tags                = var.tags
}

resource "azurerm_kubernetes_cluster" "mesh" {
  name                = var.name
  resource_group_name = azurerm_resource_group.mesh.name
  location            = azurerm_resource_group.mesh.location
  dns_prefix          = var.name
  kubernetes_version  = var.kubernetes_version
  sku_tier            = "Standard"
  tags                = var.tags

  automatic_upgrade_channel = "patch"
  node_os_upgrade_channel   = "NodeImage"

  # Pods may go by identities of Azure's, without secrets: identity.tf has one for fetching models.
  oidc_issuer_enabled       = true
  workload_identity_enabled = true

  private_cluster_enabled = var.private_cluster
  private_dns_zone_id     = var.private_cluster ? "System" : null

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.cluster.id]
  }

  # The chart's NetworkPolicies are worth something only where they are enforced: here by Cilium.
  network_profile {
    network_plugin      = "azure"
    network_plugin_mode = "overlay"
    network_data_plane  = "cilium"
    network_policy      = "cilium"
    pod_cidr            = var.network.pods
    service_cidr        = var.network.services
    dns_service_ip      = cidrhost(var.network.services, 10)
  }

  dynamic "api_server_access_profile" {
    for_each = length(var.api_server_addresses) > 0 ? [var.api_server_addresses] : []

    content {
      authorized_ip_ranges = api_server_access_profile.value
    }
  }

  # Nodes come by the pools below and their autoscaler, not by Azure's own choice of sizes.
  node_provisioning_profile {
    mode = "Manual"
  }

  auto_scaler_profile {
    # One GPU is wanted: a node with one GPU comes, and not one with eight.
    expander = "least-waste"
    # All of our pods have an emptyDir; none of them is worth a node.
    skip_nodes_with_local_storage = false
    # A GPU node counts as ready only once the operator has built its driver.
    max_node_provisioning_time = "30m"
  }

  default_node_pool {
    name                         = "system"
    vm_size                      = var.system_pool.vm_size
    orchestrator_version         = var.kubernetes_version
    vnet_subnet_id               = local.nodes_subnet_id
    os_sku                       = "Ubuntu"
    only_critical_addons_enabled = true
    temporary_name_for_rotation  = "systemtmp"
    zones                        = var.zones
    auto_scaling_enabled         = true
    min_count                    = var.system_pool.min_count
    max_count                    = var.system_pool.max_count
    tags                         = var.tags

    upgrade_settings {
      max_surge = "33%"
    }
  }

  lifecycle {
    # The autoscaler's business.
    ignore_changes = [default_node_pool[0].node_count]
  }

  depends_on = [azurerm_role_assignment.cluster_network]
}

resource "azurerm_kubernetes_cluster_node_pool" "mesh" {
  name                        = "mesh"
  kubernetes_cluster_id       = azurerm_kubernetes_cluster.mesh.id
  vm_size                     = var.mesh_pool.vm_size
  orchestrator_version        = var.kubernetes_version
  vnet_subnet_id              = local.nodes_subnet_id
  mode                        = "User"
  os_sku                      = "Ubuntu"
  temporary_name_for_rotation = "meshtmp"
  zones                       = var.zones
  auto_scaling_enabled        = true
  min_count                   = var.mesh_pool.min_count
  max_count                   = var.mesh_pool.max_count
  tags                        = var.tags

  upgrade_settings {
    max_surge = "33%"
  }

  lifecycle {
    ignore_changes = [node_count]
  }
}

resource "azurerm_role_assignment" "nodes_pull" {
  scope                            = azurerm_container_registry.images.id
  role_definition_name             = "AcrPull"
  principal_id                     = azurerm_kubernetes_cluster.mesh.kubelet_identity[0].object_id
  skip_service_principal_aad_check = true
}
