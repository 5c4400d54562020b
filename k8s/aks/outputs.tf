output "credentials" {
  description = "What to type to point kubectl at the cluster."
  value       = "az aks get-credentials --resource-group ${azurerm_resource_group.mesh.name} --name ${azurerm_kubernetes_cluster.mesh.name}"
}

output "images_prefix" {
  description = "For `make images IMAGES=…`, and the chart's images.prefix."
  value       = "${azurerm_container_registry.images.login_server}/chatmesh/"
}

output "gpu_pools" {
  description = "The GPU pools that there are, with their size and the most nodes that each may have."
  value = {
    for name, pool in azurerm_kubernetes_cluster_node_pool.gpu :
    name => "0 to ${pool.max_count} of ${pool.vm_size}"
  }
}
