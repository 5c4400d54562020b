locals {
  gpu_taint = "sku=gpu:NoSchedule"
  # AKS adds this taint to spot nodes itself; said here too, so that a plan does not take it away. The chart's pools tolerate it
  # only where their `tolerations` say so.
  spot_taint = "kubernetes.azure.com/scalesetpriority=spot:NoSchedule"

  # `product` is the name under which the GPU operator labels such a node. Said beforehand, so that the autoscaler knows
  # that a node of an empty pool would suit a pod that asks for this product: else no pool would ever grow from nothing.
  gpu_sizes = {
    a100x1 = { vm_size = "Standard_NC24ads_A100_v4", product = "NVIDIA-A100-80GB-PCIe", gpus = 1 }
    a100x8 = { vm_size = "Standard_ND96amsr_A100_v4", product = "NVIDIA-A100-SXM4-80GB", gpus = 8 }
    h100x1 = { vm_size = "Standard_NC40ads_H100_v5", product = "NVIDIA-H100-NVL", gpus = 1 }
    h100x8 = { vm_size = "Standard_ND96isr_H100_v5", product = "NVIDIA-H100-80GB-HBM3", gpus = 8 }
  }
}

resource "azurerm_kubernetes_cluster_node_pool" "gpu" {
  for_each = var.gpu_pools

  name                        = each.key
  kubernetes_cluster_id       = azurerm_kubernetes_cluster.mesh.id
  vm_size                     = local.gpu_sizes[each.key].vm_size
  orchestrator_version        = var.kubernetes_version
  vnet_subnet_id              = local.nodes_subnet_id
  mode                        = "User"
  os_sku                      = "Ubuntu" # one for all pools: the operator's drivers are built for one system
  os_disk_size_gb             = each.value.os_disk_size_gb
  temporary_name_for_rotation = "${each.key}tmp"
  zones                       = each.value.zones
  auto_scaling_enabled        = true
  min_count                   = 0
  max_count                   = each.value.max_count
  tags                        = var.tags

  # Spot nodes cost less and go whenever Azure wants them back, after 30 seconds: streams on them are cut off.
  priority        = each.value.spot ? "Spot" : "Regular"
  eviction_policy = each.value.spot ? "Delete" : null
  spot_max_price  = each.value.spot ? -1 : null

  # `--gpu-driver none`: NVIDIA's GPU operator brings driver, container toolkit and device plugin.
  gpu_driver = "None"

  node_taints = concat([local.gpu_taint], each.value.spot ? [local.spot_taint] : [])
  node_labels = {
    "nvidia.com/gpu.product" = local.gpu_sizes[each.key].product
  }

  # There is seldom quota for one more such node: one goes before its successor comes. `max_surge` beside it is refused, and spot
  # pools take neither.
  upgrade_settings {
    max_unavailable = each.value.spot ? null : "1"
  }

  lifecycle {
    ignore_changes = [node_count]
  }
}
