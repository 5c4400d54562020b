variable "subscription_id" {
  description = "The subscription that pays."
  type        = string

  validation {
    condition     = can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", var.subscription_id))
    error_message = "subscription_id is a UUID in lower case: `az account show --query id -o tsv`."
  }
}

variable "location" {
  description = "The region; it must offer the GPU sizes, and the subscription must have quota for them there."
  type        = string
  default     = "eastus2"
}

variable "name" {
  description = "Of the cluster and its resource group."
  type        = string
  default     = "chatmesh"

  validation {
    condition     = can(regex("^[a-z][-a-z0-9]{1,38}[a-z0-9]$", var.name))
    error_message = "name is 3 to 40 lower-case letters, digits and dashes, and begins with a letter."
  }
}

variable "registry_name" {
  description = "Of the container registry for the mesh's images; no other in all of Azure may be called so."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]{5,50}$", var.registry_name))
    error_message = "registry_name is 5 to 50 lower-case letters and digits."
  }
}

variable "kubernetes_version" {
  description = "A minor version; its newest patch is taken. The chart needs 1.31 or later."
  type        = string
  default     = "1.35"

  validation {
    condition     = can(regex("^1\\.(3[1-9]|[4-9][0-9])$", var.kubernetes_version))
    error_message = "kubernetes_version is a minor version from 1.31 on, such as 1.35."
  }
}

variable "api_server_addresses" {
  description = "CIDRs from which the API server may be reached; empty: from everywhere, with credentials. Not of a private one."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.api_server_addresses : can(cidrhost(cidr, 0))])
    error_message = "api_server_addresses are CIDRs, such as 203.0.113.0/24."
  }

  validation {
    condition     = !var.private_cluster || length(var.api_server_addresses) == 0
    error_message = "A private cluster's API server has no address outside its network: leave api_server_addresses empty."
  }
}

variable "private_cluster" {
  description = "Whether the API server is reached from the nodes' network alone, such as through a VPN or a machine in it."
  type        = bool
  default     = false
}

variable "network" {
  description = "Addresses, none of which may be used by what the network is connected to. A subnet that is there may be named."
  type = object({
    address_space = optional(string, "10.240.0.0/16")
    nodes         = optional(string, "10.240.0.0/20")
    pods          = optional(string, "10.244.0.0/16")
    services      = optional(string, "10.0.0.0/16")
    subnet_id     = optional(string)
  })
  default = {}

  validation {
    condition = alltrue([
      for cidr in [var.network.address_space, var.network.nodes, var.network.pods, var.network.services] :
      can(cidrhost(cidr, 10))
    ])
    error_message = "network's address_space, nodes, pods and services are CIDRs, such as 10.240.0.0/16."
  }

  validation {
    condition     = var.network.subnet_id == null || can(regex("/subnets/[^/]+$", var.network.subnet_id))
    error_message = "network.subnet_id ends in /subnets/NAME: `az network vnet subnet show --query id -o tsv`."
  }
}

variable "weights" {
  description = "A storage account with models, which pods of one ServiceAccount may read without a key; null: none."
  type = object({
    storage_account_id = string
    namespace          = optional(string, "chat")
    service_account    = optional(string, "weights")
  })
  default = null

  validation {
    condition     = var.weights == null || can(regex("/storageAccounts/[a-z0-9]{3,24}$", var.weights.storage_account_id))
    error_message = "weights.storage_account_id ends in /storageAccounts/NAME: `az storage account show --query id -o tsv`."
  }
}

variable "zones" {
  description = "Zones of the system and mesh pools. A disk stays in its zone: leave the mesh pool a node in each."
  type        = list(string)
  default     = ["1", "2", "3"]

  validation {
    condition     = alltrue([for zone in var.zones : contains(["1", "2", "3"], zone)])
    error_message = "zones are among \"1\", \"2\" and \"3\"; an empty list where the region has none."
  }
}

variable "system_pool" {
  description = "What AKS itself runs on. Nothing else may: the pool is tainted CriticalAddonsOnly."
  type = object({
    vm_size   = optional(string, "Standard_D4ds_v5")
    min_count = optional(number, 2)
    max_count = optional(number, 3)
  })
  default = {}

  validation {
    condition     = 1 <= var.system_pool.min_count && var.system_pool.min_count <= var.system_pool.max_count
    error_message = "system_pool needs 1 <= min_count <= max_count."
  }
}

variable "mesh_pool" {
  description = "What everything without a GPU runs on: the mesh's services, the edge, KEDA, monitoring, operators."
  type = object({
    vm_size   = optional(string, "Standard_D8ds_v5")
    min_count = optional(number, 3)
    max_count = optional(number, 12)
  })
  default = {}

  validation {
    condition     = 1 <= var.mesh_pool.min_count && var.mesh_pool.min_count <= var.mesh_pool.max_count
    error_message = "mesh_pool needs 1 <= min_count <= max_count."
  }
}

variable "gpu_pools" {
  description = "The GPU pools to make, by their names in gpu.tf; each grows from no node to max_count and back."
  type = map(object({
    max_count = number
    # GPU sizes are often in one zone of a region: `az vm list-skus -l REGION --size SIZE -o table`.
    zones = optional(list(string), [])
    # Images, what the engine compiles, and weights where no claim keeps them.
    os_disk_size_gb = optional(number, 512)
    # Cheaper nodes that Azure takes back when it wants them.
    spot = optional(bool, false)
  }))
  default = {}

  validation {
    condition     = alltrue([for name in keys(var.gpu_pools) : contains(keys(local.gpu_sizes), name)])
    error_message = "gpu_pools are named ${join(", ", keys(local.gpu_sizes))}."
  }

  validation {
    condition     = alltrue([for pool in values(var.gpu_pools) : 1 <= pool.max_count && pool.max_count <= 100])
    error_message = "A GPU pool's max_count is from 1 to 100; a pool that is not wanted is left out."
  }

  validation {
    condition     = alltrue([for pool in values(var.gpu_pools) : pool.os_disk_size_gb >= 128])
    error_message = "A GPU pool's os_disk_size_gb is at least 128: engine images are large, and weights may come to them."
  }
}

variable "tags" {
  description = "Tags of everything that has tags."
  type        = map(string)
  default     = {}
}
