locals {
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

  name                  = each.key
  kubernetes_cluster_id = azurerm_kubernetes_cluster.mesh.id
  vm_size               = local.gpu_sizes[each.key].vm_size
  mode                  = "User"
  os_sku                = "Ubuntu" # one for all pools: the operator's drivers are built for one system
  os_disk_size_gb       = each.value.os_disk_size_gb
  zones                 = each.value.zones
  auto_scaling_enabled  = true
  min_count             = 0
  max_count             = each.value.max_count
  tags                  = var.tags

  # `--gpu-driver none`: NVIDIA's GPU operator brings driver, container toolkit and device plugin.
  gpu_driver = "None"

  node_taints = ["sku=gpu:NoSchedule"]
  node_labels = {
    "nvidia.com/gpu.product" = local.gpu_sizes[each.key].product
  }

  # There is seldom quota for one more such node.
  upgrade_settings {
    max_surge       = "0"
    max_unavailable = "1"
  }

  lifecycle {
    ignore_changes = [node_count]
  }
}
